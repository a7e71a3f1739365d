"""Numbers that can be switched off."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from evop_deap.base.numbers import decimal_number, whole_number
from evop_deap.base.user_text import shown

OFF = "off"
_Number = TypeVar("_Number", int, float)


def number_or_off(text: str) -> float | None:
    """Parse a flag's text: a number, or "off" for None.

    Example:
        >>> number_or_off("0.9"), number_or_off("off")
        (0.9, None)

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    return _read(text, decimal_number, "a number such as 0.95")


def count_or_off(text: str) -> int | None:
    """Parse a flag's text: a whole number, or "off" for None.

    Example:
        >>> count_or_off("60"), count_or_off("off")
        (60, None)

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    return _read(text, whole_number, "a whole number such as 60")


SWITCHES = (number_or_off, count_or_off)
"""What reads a number that can be switched off."""


def _read(text: str, read: Callable[[str], _Number], wanted: str) -> _Number | None:
    if text == OFF:
        return None
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{shown(text)} must be {wanted}, or {OFF}") from error
