"""Patterns: the genome as plain data, which keeps or drops each unit."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

Pattern = tuple[int, ...]
"""One 0/1 per unit, 1 = keep; hashable, and the key of every cache."""


def dropped_units(pattern: Sequence[int]) -> tuple[int, ...]:
    """Positions of the units that a pattern drops, in order."""
    return tuple(itertools.compress(range(len(pattern)), map(operator.not_, pattern)))


def kept_units(pattern: Sequence[int]) -> tuple[int, ...]:
    """Positions of the units that a pattern keeps, in order."""
    return tuple(i for i, keep in enumerate(pattern) if keep)
