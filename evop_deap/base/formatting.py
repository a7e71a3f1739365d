"""Numbers, lists and names of units, formatted for people."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

NOTHING = "\N{EN DASH}"


def number(value: float | None) -> str:
    """A number to about four significant digits, with thousands separators; a dash for None."""
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


def figure(value: float | None) -> str:
    """A perplexity in a terminal's table: two decimals; None means too large for a float."""
    if value is None:
        return "∞"
    return f"{value:.2f}" if value < 1e5 else f"{value:.2e}"


def millions(count: float) -> str:
    """A count of parameters: in full, in millions or in billions."""
    if count < 1e6:
        return f"{count:,.0f}"
    return f"{count / 1e6:.1f} M" if count < 1e9 else f"{count / 1e9:.2f} B"


def mebibytes(size: float) -> str:
    """A size in bytes as mebibytes, or as kibibytes below one mebibyte."""
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:,.0f} KiB"


def duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def listed(names: Sequence[str]) -> str:
    """Names as an enumeration in a sentence: "5, 14 and 25"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def counted(count: int, noun: str) -> str:
    """A count and its noun: "1 window", "2,048 windows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def plural(granularity: str, count: int | None = None) -> str:
    """The name of units: "blocks" or "halves" for "block" or "half"; of a `count` of 1 as it is."""
    return granularity if count == 1 else {"half": "halves"}.get(granularity, f"{granularity}s")


def markdown(text: str) -> str:
    """A user's name in a Markdown document, on one line, with signs that Markdown reads escaped.

    Example:
        >>> print(markdown("runs/[a](b)|*c*"))
        runs/\\[a\\](b)\\|\\*c\\*
    """
    return re.sub(r"([\\`*_\[\]<>|#~&!])", r"\\\1", " ".join(text.split()))
