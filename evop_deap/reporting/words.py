"""Numbers and lists as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence

NOTHING = "\N{EN DASH}"


def number(value: float | None) -> str:
    """Four digits that mean something, thousands apart; a dash where there is nothing."""
    if value is None:
        return NOTHING
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "∞" if value > 0 else NOTHING
    size = abs(value)
    if size and (size >= 1e7 or size < 1e-3):
        return f"{value:.2e}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{2 if size >= 1 else 4}f}"


def millions(count: float) -> str:
    """A count of parameters."""
    if count < 1e6:
        return f"{count:,.0f}"
    return f"{count / 1e6:.1f} M" if count < 1e9 else f"{count / 1e9:.2f} B"


def duration(seconds: float) -> str:
    """Seconds in the unit that fits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "5, 14 and 25"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def perplexity(loss: float | None) -> float | None:
    """The exponential of a loss in nats; None where it is not finite, or too large."""
    return math.exp(loss) if loss is not None and loss < 700 else None
