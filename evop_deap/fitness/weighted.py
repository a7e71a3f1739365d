"""An evaluator whose windows do not all count the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.space import Pattern


class WeightedEvaluator:
    """Scales each window's sums by its weight, so that a mean loss is the weighted mean.

    Args:
        evaluator: judges windows of equal length.
        weights: (windows,) what each counts, finite, at least 0 and not all 0; scaled to 1 on
            average.

    Raises:
        InputError: weights that say nothing.

    Example:
        >>> class Two:
        ...     def evaluate(self, patterns, windows=None):
        ...         sums = np.array([[1.0, 3.0]] * len(patterns))
        ...         return Evaluation(sums, np.ones(2, dtype=np.int64), np.ones(len(patterns)))
        >>> WeightedEvaluator(Two(), np.array([3.0, 1.0])).evaluate([(1, 0)]).losses
        array([1.5])
    """

    def __init__(self, evaluator: Evaluator, weights: NDArray[np.float64]) -> None:
        usable = weights.ndim == 1 and np.isfinite(weights).all() and (weights >= 0).all()
        if not usable or not weights.sum() > 0:
            raise InputError("`weights` must be finite, at least 0 and not all 0")
        self._evaluator = evaluator
        self._weights = _on_average_one(weights)

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Judge each pattern on all windows, or on some by index."""
        found = self._evaluator.evaluate(patterns, windows)
        weights = self._weights if windows is None else self._weights[list(windows)]
        sums = found.sums * weights
        return Evaluation(sums, found.tokens, found.costs, found.hits, found.work)


def weighted(evaluator: Evaluator, weights: NDArray[np.float64] | None) -> Evaluator:
    """`evaluator` whose windows count as the weights say; itself where there are none."""
    return evaluator if weights is None else WeightedEvaluator(evaluator, weights)


def scaled(sums: NDArray[np.float64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """(…, windows) sums as the weights of all windows count them."""
    return sums if weights is None else sums * _on_average_one(weights)


def _on_average_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = weights * (len(weights) / weights.sum())
    return scaled
