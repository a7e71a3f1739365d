"""Several budgets at once: shares of the units to drop, from the smallest to the largest."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from evop_deap.base.errors import InputError


def read_shares(text: str) -> float | tuple[float, ...]:
    """One share, or several with commas between them, as a flag has them.

    Example:
        >>> read_shares("0.2"), read_shares("0.3,0.1")
        (0.2, (0.3, 0.1))

    Raises:
        argparse.ArgumentTypeError: one is not a number.
    """
    try:
        shares = tuple(map(float, text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"'{text}' must be a share such as 0.2, or several such as 0.1,0.2,0.3"
        ) from error
    return shares if len(shares) > 1 else shares[0]


def in_order(shares: Iterable[float]) -> tuple[float, ...]:
    """Several shares from the smallest to the largest.

    Example:
        >>> in_order([0.3, 0.1])
        (0.1, 0.3)

    Raises:
        InputError: none, one that is not a number, or the same twice.
    """
    found = tuple(shares)
    for share in found:
        if isinstance(share, bool) or not isinstance(share, int | float):
            raise InputError(f"`sparsity` must hold numbers, but holds {share!r}")
    if not found:
        raise InputError("`sparsity` must hold one share or more, but holds none")
    if twice := [share for share in found if found.count(share) > 1]:
        raise InputError(f"`sparsity` holds {twice[0]} twice: leave one out")
    return tuple(sorted(map(float, found)))
