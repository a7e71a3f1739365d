"""Logarithmic axes with round numbers, and reference lines."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

_MOST_TICKS = 8
_ALMOST_LINEAR = 5  # below this ratio of the ends, ticks are linear
# Ticks within a decade, the finest first.
_STEPS = (range(1, 10), (1, 2, 5), (1, 3), (1,))


def log_axis(
    values: Iterable[float | None], *, below: float = 0.1, above: float = 0.1
) -> dict[str, Any]:
    """Return a logarithmic axis for these values, with margins as shares of their span.

    Values that are missing, not finite or not above 0 are ignored. Without any value, Plotly
    chooses the range.
    """
    known = [v for v in values if v is not None and math.isfinite(v) and v > 0]
    if not known:
        return {"type": "log"}
    low, high = math.log10(min(known)), math.log10(max(known))
    span = max(0.1, high - low)
    bottom, top = low - below * span, high + above * span
    ticks = round_numbers(10**bottom, 10**top)
    words = [f"{tick:g}" for tick in ticks]
    return {"type": "log", "range": [bottom, top], "tickvals": ticks, "ticktext": words}


def round_numbers(low: float, high: float) -> list[float]:
    """Return at most eight round numbers between the two, for ticks of a logarithmic axis.

    Example:
        >>> round_numbers(28, 51), round_numbers(3, 2500)
        ([30.0, 35.0, 40.0, 45.0, 50.0], [3.0, 10.0, 30.0, 100.0, 300.0, 1000.0])
    """
    if high < _ALMOST_LINEAR * low:
        return _multiples(low, high)
    decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        exact = (float(f"{step * 10.0**decade:.6g}") for decade in decades for step in steps)
        ticks = [tick for tick in exact if low <= tick <= high]
        if len(ticks) <= _MOST_TICKS:
            break
    return ticks[:: -(-len(ticks) // _MOST_TICKS) or 1]


def _multiples(low: float, high: float) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten, at most eight."""
    size = 10.0 ** math.floor(math.log10(low) - 2)
    while True:
        for step in (size, 2 * size, 5 * size):
            places = range(math.ceil(low / step), math.floor(high / step) + 1)
            if len(places) <= _MOST_TICKS:
                return [float(f"{place * step:.6g}") for place in places]
        size *= 10


def reference_line(value: float, *, upright: bool = False) -> dict[str, Any]:
    """Return a dotted line at `value` of the vertical axis; `upright`, of the horizontal axis."""
    along, across = ("y", "x") if upright else ("x", "y")
    return {
        "type": "line",
        f"{along}ref": "paper",
        f"{along}0": 0,
        f"{along}1": 1,
        f"{across}ref": across,
        f"{across}0": value,
        f"{across}1": value,
        "line": {"color": "--muted", "width": 1, "dash": "dot"},
    }
