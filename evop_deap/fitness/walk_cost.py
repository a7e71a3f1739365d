"""What a population costs when its patterns walk down the model together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import Pattern


def walk_costs(
    patterns: Sequence[Pattern], work: Sequence[int], head_work: int
) -> NDArray[np.float64]:
    """Dense-forward equivalents that the population evaluator spends on each pattern.

    Each distinct (kept prefix, unit) is run once, for the first pattern that asks for it; each
    pattern has the head run for itself.

    Args:
        patterns: judged together.
        work: of each unit, in multiply-adds a token.
        head_work: of the head, likewise.
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
