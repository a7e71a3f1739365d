"""Numbers in texts, losses that are not finite, and the exponential of a loss."""

from __future__ import annotations

import math
import re
from typing import Any

from evop_deap.base.user_text import shown

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|nan)", re.I)


def whole_number(text: str) -> int:
    """The whole number that a text writes in the digits 0 to 9, 18 of them at most.

    Example:
        >>> whole_number("-12")
        -12

    Raises:
        ValueError: it writes none.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"not a whole number of at most 18 digits from 0 to 9: {shown(text)}")
    return int(text)


def decimal_number(text: str) -> float:
    """The number that a text writes in the digits 0 to 9; "inf" and "nan" are numbers.

    Raises:
        ValueError: it writes none.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"not a number in the digits 0 to 9: {shown(text)}")
    return float(text)


def finite_or_none(value: Any) -> Any:
    """The value, or None for infinity and NaN, which JSON cannot represent.

    Example:
        >>> [finite_or_none(value) for value in (1.5, float("nan"), None, "text")]
        [1.5, None, None, 'text']
    """
    return None if isinstance(value, float) and not math.isfinite(value) else value


def infinite_if_none(value: Any) -> Any:
    """The inverse of `finite_or_none` for a loss: None becomes infinity."""
    return math.inf if value is None else value


def finite_or_worst(loss: float) -> float:
    """The loss, or infinity if it is not finite.

    In DEAP's fitness comparison NaN would win every tournament and stay in the hall of fame;
    infinity sorts last.
    """
    return loss if math.isfinite(loss) else math.inf


def exponential(loss: float) -> float:
    """The perplexity of a loss in nats; infinity if it is too large for a float.

    Example:
        >>> exponential(0.0), exponential(1000.0)
        (1.0, inf)
    """
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def perplexity(loss: float | None) -> float | None:
    """The perplexity of a loss read from JSON; None if the loss is None or the result overflows."""
    return None if loss is None else finite_or_none(exponential(loss))
