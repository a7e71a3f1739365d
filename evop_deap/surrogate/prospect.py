"""What is left to win: how likely a pattern within reach is better than the best one seen.

Within reach are all proposals of a generation, with those that local search has found. Differences
smaller than the standard error of the losses do not count, because the windows cannot tell them.

Values are logarithms of the excess, so no loss is expected below the dense model's until one was
seen: a best pattern within the error of the dense model leaves nothing to win.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evop_deap.evolution.stopping import UNKNOWN, Prospect
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.paired import paired_difference
from evop_deap.space import SearchSpace
from evop_deap.surrogate.observations import Observations

LEAST_TOLERANCE = 0.002  # nats a token
_COMPARED = 8  # patterns next to the best, whose differences give the standard error


def prospect_of(
    evaluator: CachedEvaluator,
    space: SearchSpace,
    seen: Observations,
    mean: NDArray[np.float64],
    deviation: NDArray[np.float64],
) -> Prospect:
    """Return the chance that a proposal is better than the best pattern, by more than the error.

    Args:
        evaluator: holds the window sums of all patterns seen.
        space: the space of the patterns.
        seen: the observations that the predictions were made from.
        mean: (proposals,) predicted values, as in `Observations`.
        deviation: (proposals,) their standard deviations.
    """
    tokens = evaluator.tokens
    whole = {p: r for p, r in evaluator.rows.items() if p in space and np.isfinite(r).all()}
    if not whole:
        return UNKNOWN
    ranked = sorted(whole.values(), key=np.sum)
    tolerance = max(LEAST_TOLERANCE, standard_error(ranked[: _COMPARED + 1], tokens))
    excess = float(ranked[0].sum() / tokens.sum()) - tolerance - seen.base
    threshold = np.log(excess) if excess > 0 else -np.inf
    return Prospect(chance_below(threshold, mean, deviation), tolerance)


def standard_error(ranked: list[NDArray[np.float64]], tokens: NDArray[np.int64]) -> float:
    """Return the median standard error of the differences of patterns from the first, in nats.

    Args:
        ranked: (windows,) sums of each pattern.
        tokens: (windows,) predicted tokens of each window.
    """
    best, *others = ranked
    errors = [paired_difference(other, best, tokens)[1] for other in others]
    return float(np.median(errors)) if errors else 0.0


def chance_below(
    threshold: float, mean: NDArray[np.float64], deviation: NDArray[np.float64]
) -> float:
    """Return a bound on the probability that any of several normal variables is below a threshold.

    It is exact for independent variables. It is too large for positively correlated ones, as
    similar patterns are (Slepian's inequality).

    Example:
        >>> chance_below(0.0, np.array([0.0, 0.0]), np.array([1.0, 1.0]))
        0.75
    """
    from scipy.special import log_ndtr

    above = log_ndtr((mean - threshold) / deviation)
    return float(0.0 - np.expm1(above.sum()))
