"""The cost of a population that is evaluated together, with shared prefixes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import Pattern


def walk_costs(
    patterns: Sequence[Pattern], work: Sequence[int], head_work: int
) -> NDArray[np.float64]:
    """Return the cost of each pattern in the population evaluator, in dense-forward equivalents.

    Each distinct (kept prefix, unit) runs once and counts for the first pattern that needs it.
    The head runs once for each pattern.

    Args:
        patterns: the population, evaluated together.
        work: multiply-adds of each unit per token.
        head_work: multiply-adds of the head per token.
    """
    seen: set[Pattern] = set()
    costs = np.zeros(len(patterns))
    for row, pattern in enumerate(patterns):
        costs[row] = head_work
        for depth, unit_work in enumerate(work):
            prefix = pattern[: depth + 1]
            if pattern[depth] and prefix not in seen:
                seen.add(prefix)
                costs[row] += unit_work
    return costs / (sum(work) + head_work)
