"""Patterns too near the best to tell apart by the windows that they were searched on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import Pattern

MOST = 8
_ERRORS = 3.0  # standard errors within which two patterns count as near


@dataclass(frozen=True)
class NearEqual:
    """A pattern within three standard errors of the best.

    Attributes:
        pattern: 1 = keep.
        loss: in nats a token, as the search saw it.
        behind: mean difference from the best, window by window, in nats a token.
        error: standard error of that difference.
        float32: loss in float32 where it was evaluated once more, else None.
        validation: loss on the validation windows where these had to decide, else None.

    Example:
        >>> NearEqual((1, 0, 1), loss=3.2, behind=0.01, error=0.02).validation is None
        True
    """

    pattern: Pattern
    loss: float
    behind: float
    error: float
    float32: float | None = None
    validation: float | None = None


def near_the_best(
    losses: Mapping[Pattern, float],
    rows: Mapping[Pattern, NDArray[np.float64]],
    tokens: NDArray[np.int64],
) -> list[NearEqual]:
    """The best pattern and those within three standard errors of it, best first, at most eight.

    Args:
        losses: nats a token of patterns evaluated on all windows.
        rows: (windows,) sums of at least these patterns, in nats.
        tokens: (windows,) predicted tokens of each.
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


def paired_difference(
    sums: NDArray[np.float64], others: NDArray[np.float64], tokens: NDArray[np.int64]
) -> tuple[float, float]:
    """Mean of the windows' differences in nats a token, and its standard error.

    What makes a window hard for both patterns drops out of the error, which is 0 where there is
    one window.

    Args:
        sums: (windows,) of one pattern, in nats.
        others: (windows,) of another.
        tokens: (windows,) predicted tokens of each.
    """
    difference = (sums - others) / tokens  # (windows,)
    count = len(difference)
    error = float(difference.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    return float(difference.mean()), error
