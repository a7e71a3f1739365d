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
    return _at_least(1, text)


def seed_flag(text: str) -> int:
    """Return a whole number of at least 0.

    Raises:
        argparse.ArgumentTypeError: it is none, or smaller.

    Example:
        >>> seed_flag("0")
        0
    """
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    number = int_flag(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, but got {number}")
    return number
