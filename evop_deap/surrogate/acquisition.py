"""Choice of a batch of proposals to evaluate, by lower confidence bound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def most_promising(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    count: int,
    *,
    noise: float,
    weight: float,
    pending: int = 0,
) -> list[int]:
    """Return the indices of up to `count` proposals, the lowest confidence bound first.

    After each choice the variances are updated as if it had been evaluated. Similar proposals
    become more certain and are less likely to be chosen (Desautels, Krause and Burdick 2014).
    Pending patterns count in the same way, before the first choice.

    Args:
        mean: (proposals,) predicted values, lower is better.
        covariance: (proposals, proposals) covariance of the predictions.
        count: number of proposals to choose.
        noise: variance of an evaluation.
        weight: standard deviations between the mean and the bound: the exploration weight.
        pending: number of patterns at the front that are being evaluated, and no proposals.

    Example:
        >>> covariance = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> most_promising(np.array([0.0, 0.1, 0.5]), covariance, 2, noise=0.01, weight=1.0)
        [0, 2]
    """
    left, chosen = np.diagonal(covariance).copy(), list[int]()
    free = np.arange(len(mean)) >= pending
    # One row of a Cholesky factor per choice. The remaining variance is the given one minus the
    # sum of squared rows; only the rows that are needed are computed.
    rows = np.zeros((min(pending + count, len(mean)), len(mean)))
    for step in range(len(rows)):
        bound = mean - weight * np.sqrt(np.maximum(left, 0.0))
        best = step if step < pending else int(np.argmin(np.where(free, bound, np.inf)))
        free[best] = False
        chosen.append(best)
        column = covariance[best] - rows[:step, best] @ rows[:step]
        rows[step] = column / np.sqrt(max(column[best], 0.0) + noise)
        left -= rows[step] ** 2
    return chosen[pending:]
