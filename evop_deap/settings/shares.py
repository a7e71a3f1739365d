"""Reading and writing `sparsity`: one or several shares of the units to drop."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from evop_deap.base.errors import InputError
from evop_deap.base.numbers import decimal_number
from evop_deap.base.user_text import shown


def read_shares(text: str) -> tuple[float, ...]:
    """Parse a flag's text: one share, or several separated by commas.

    Example:
        >>> read_shares("0.2"), read_shares("0.3,0.1")
        ((0.2,), (0.3, 0.1))

    Raises:
        argparse.ArgumentTypeError: a share is not a number.
    """
    try:
        return tuple(map(decimal_number, text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} must be a share such as 0.2, or several such as 0.1,0.2,0.3"
        ) from error


def in_order(shares: Sequence[float]) -> tuple[float, ...]:
    """The shares in ascending order.

    Example:
        >>> in_order([0.3, 0.1])
        (0.1, 0.3)

    Raises:
        InputError: a share is given twice.
    """
    if twice := [share for share in shares if shares.count(share) > 1]:
        raise InputError(f"`sparsity` holds {twice[0]} twice: leave one out")
    return tuple(sorted(shares))


def as_written(shares: Sequence[float]) -> float | list[float] | None:
    """The shares for a YAML file: a number for one share, a list for several, None for none.

    Example:
        >>> as_written((0.2,)), as_written((0.1, 0.2)), as_written(())
        (0.2, [0.1, 0.2], None)
    """
    return shares[0] if len(shares) == 1 else (list(shares) or None)
