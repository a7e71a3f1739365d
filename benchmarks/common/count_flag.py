"""The type of a flag that counts something of which there is at least one."""

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
