"""Numbers that can be switched off."""

from __future__ import annotations

import argparse

from evop_deap.base.numbers import decimal_number
from evop_deap.base.user_text import shown

OFF = "off"


def number_or_off(text: str) -> float | None:
    """Parse a flag's text: a number, or "off" for None.

    Example:
        >>> number_or_off("0.9"), number_or_off("off")
        (0.9, None)

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    if text == OFF:
        return None
    try:
        return decimal_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} must be a number such as 0.95, or {OFF}"
        ) from error
