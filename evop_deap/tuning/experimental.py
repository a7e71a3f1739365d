"""Quiet about what Optuna calls experimental: its major version is pinned."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def accepting_experiments() -> Iterator[None]:
    """No warnings of what may change between Optuna's versions."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
