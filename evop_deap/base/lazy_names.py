"""Fronts of packages whose names are imported when they are first touched."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`: each name comes from its home module, and costs nothing before.

    Args:
        package: its `__name__`.
        homes: by each name, the module of `evop_deap` that defines it.

    Example:
        >>> getattr_ = lazy_names("evop_deap", {"InputError": "base.errors"})
        >>> getattr_("InputError").__name__
        'InputError'

    Raises:
        AttributeError: when called with a name that has no home.
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"evop_deap.{homes[name]}"), name)

    return __getattr__
