"""Suppress Optuna's warnings of experimental features; its major version is pinned."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def accepting_experiments() -> Iterator[None]:
    """Suppress `ExperimentalWarning` until the body ends."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
