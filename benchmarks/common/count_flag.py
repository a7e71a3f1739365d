"""Types of flags: of a count, of which there is at least one, and of a seed."""

from __future__ import annotations

import argparse

from evop_deap.settings.parser import int_flag


def count_flag(text: str) -> int:
    """Return a whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: it is none, or smaller.

    Example:
        >>> count_flag("3")
        3
    """
    count = int_flag(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, but got {count}")
    return count


def seed_flag(text: str) -> int:
    """Return a whole number of at least 0.

    Raises:
        argparse.ArgumentTypeError: it is none, or smaller.

    Example:
        >>> seed_flag("0")
        0
    """
    seed = int_flag(text)
    if seed < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, but got {seed}")
    return seed
