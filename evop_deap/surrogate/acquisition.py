"""Which of many proposals to evaluate: the most promising that do not tell the same twice."""

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
) -> list[int]:
    """Up to `count` places, the lowest confidence bound first.

    After each choice the others are as certain as they would be had it been evaluated: its
    likes promise no surprise any more and stand back (Desautels, Krause and Burdick 2014).

    Args:
        mean: (proposals,) expected values, lower is better.
        covariance: (proposals, proposals) of what is expected.
        count: how many to choose.
        noise: variance of an evaluation.
        weight: standard deviations between the mean and the bound: the exploration weight.

    Example:
        >>> covariance = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> most_promising(np.array([0.0, 0.1, 0.5]), covariance, 2, noise=0.01, weight=1.0)
        [0, 2]
    """
    left, chosen = np.diagonal(covariance).copy(), list[int]()
    free = np.ones(len(mean), dtype=bool)
    # Rows of a Cholesky factor, one a choice: the covariance that is left is the one given less
    # the sum of their squares, and no more of it than asked for is worked out.
    rows = np.zeros((min(count, len(mean)), len(mean)))
    for step in range(len(rows)):
        bound = mean - weight * np.sqrt(np.maximum(left, 0.0))
        best = int(np.argmin(np.where(free, bound, np.inf)))
        free[best] = False
        chosen.append(best)
        column = covariance[best] - rows[:step, best] @ rows[:step]
        rows[step] = column / np.sqrt(max(column[best], 0.0) + noise)
        left -= rows[step] ** 2
    return chosen
