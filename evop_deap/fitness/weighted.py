"""An evaluator with weighted windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.space import Pattern


class WeightedEvaluator:
    """Scales the sums of each window by its weight, so that the mean loss is the weighted mean.

    Args:
        evaluator: an evaluator with windows of equal length.
        weights: (windows,) weights, finite, at least 0 and not all 0; scaled to a mean of 1.

    Raises:
        InputError: the weights are invalid.

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
        """Evaluate each pattern on all windows, or on some by index."""
        found = self._evaluator.evaluate(patterns, windows)
        weights = self._weights if windows is None else self._weights[list(windows)]
        return replace(found, sums=_times(found.sums, weights))


def weighted(evaluator: Evaluator, weights: NDArray[np.float64] | None) -> Evaluator:
    """Return `evaluator` with these window weights, or unchanged if there are none."""
    return evaluator if weights is None else WeightedEvaluator(evaluator, weights)


def scaled(sums: NDArray[np.float64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Scale (…, windows) sums by the weights of all windows, if there are any."""
    return sums if weights is None else _times(sums, _on_average_one(weights))


def _times(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, windows) products; an infinite sum of weight 0 is NaN, which loses as infinity does."""
    with np.errstate(invalid="ignore"):
        product: NDArray[np.float64] = sums * weights
    return product


def _on_average_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = weights * (len(weights) / weights.sum())
    return scaled
