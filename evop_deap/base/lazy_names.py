"""Packages whose public names are imported on first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__`, which imports a name's module when the name is first used.

    Args:
        package: the package's `__name__`.
        homes: for each name, the module of `evop_deap` that defines it.

    Example:
        >>> getattr_ = lazy_names("evop_deap", {"InputError": "base.errors"})
        >>> getattr_("InputError").__name__
        'InputError'

    Raises:
        AttributeError: from the returned function, for a name that is not in `homes`.
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"evop_deap.{homes[name]}"), name)

    return __getattr__
