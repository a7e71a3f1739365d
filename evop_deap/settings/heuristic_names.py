"""Checks of the options that name heuristics."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.base.errors import InputError
from evop_deap.heuristics.registry import ALL_CHEAP, METHODS

SEARCH = "search"
"""The method that is no heuristic."""

BALANCED = "balanced"
"""Initial patterns without a heuristic."""


def check_heuristics(method: str, init: Sequence[str], granularity: str) -> None:
    """Refuse names that are none of a heuristic, or of one for other units.

    Args:
        method: `SEARCH`, or the heuristic that picks the pattern in its place.
        init: `BALANCED`, `ALL_CHEAP`, or the heuristics whose picks the search begins with.
        granularity: "block" or "half".

    Raises:
        InputError: a name is unknown, `init` has a heuristic that takes more than one step, or a
            heuristic is not defined for units of this granularity.
    """
    if method != SEARCH and method not in METHODS:
        raise InputError(
            f"`method` must be {SEARCH} or one of {', '.join(METHODS)}, but got '{method}'"
        )
    one_shot = [n for n, found in METHODS.items() if not (found.searches or found.merges)]
    words = {(BALANCED,), (ALL_CHEAP,)}
    if tuple(init) not in words and not (init and set(init) <= set(one_shot)):
        raise InputError(
            f"`init` must be {BALANCED}, {ALL_CHEAP} or some of {', '.join(one_shot)}, "
            f"but got '{' '.join(init)}'"
        )
    if method != SEARCH:
        METHODS[method].check_granularity(granularity, "method")
    elif tuple(init) not in words:
        for name in init:
            METHODS[name].check_granularity(granularity, "init")
