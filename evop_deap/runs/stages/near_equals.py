"""Close patterns: the best pattern of a search and those close behind it.

Near-equals are the close patterns within one standard error of the best; validation decides between
them. The others are left to export if no near-equal can be exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evop_deap.fitness.paired import paired_difference
from evop_deap.space import Pattern

MOST = 8
_ERRORS = 3.0  # standard errors behind the best within which a pattern is a close pattern


@dataclass(frozen=True)
class NearEqual:
    """A close pattern: a pattern within three standard errors of the best.

    Attributes:
        pattern: 1 = keep.
        loss: fitness in the search, in nats a token.
        behind: mean of the paired differences from the best over windows, in nats a token.
        error: standard error of `behind`.
        validation: loss on the validation windows, if they were needed, else None.

    Example:
        >>> NearEqual((1, 0, 1), loss=3.2, behind=0.01, error=0.02).validation is None
        True
    """

    pattern: Pattern
    loss: float
    behind: float
    error: float
    validation: float | None = None


def near_the_best(
    losses: Mapping[Pattern, float],
    rows: Mapping[Pattern, NDArray[np.float64]],
    tokens: NDArray[np.int64],
) -> list[NearEqual]:
    """Return the best pattern and those within three standard errors of it, at most eight.

    Args:
        losses: nats a token of patterns evaluated on all windows.
        rows: (windows,) sums of at least these patterns, in nats.
        tokens: (windows,) predicted tokens of each window.

    Returns:
        The close patterns, the best first.
    """
    ranked = sorted(losses, key=losses.__getitem__)[: 4 * MOST]
    best = rows[ranked[0]]
    found = []
    for pattern in ranked:
        if not np.isfinite(rows[pattern]).all():
            break
        mean, error = paired_difference(rows[pattern], best, tokens)
        if mean <= _ERRORS * error or pattern == ranked[0]:
            found.append(NearEqual(pattern, losses[pattern], mean, error))
    return found[:MOST] or [NearEqual(ranked[0], losses[ranked[0]], 0.0, 0.0)]
