"""Windows that count differently."""

from __future__ import annotations

import numpy as np
import pytest

from evop_deap.base.errors import InputError
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.fitness.weighted import WeightedEvaluator


class Known:
    sums = np.array([[10.0, 20.0, 60.0], [30.0, 30.0, np.inf]])
    asked = 0

    def evaluate(self, patterns, windows=None) -> Evaluation:
        some = [0, 1, 2] if windows is None else list(windows)
        Known.asked += len(patterns) * len(some)
        rows = [0 if pattern[0] else 1 for pattern in patterns]
        sums = np.full((len(rows), 3), np.nan)
        sums[:, some] = self.sums[np.ix_(rows, some)]
        return Evaluation(
            sums[:, some], np.full(len(some), 10), np.ones(len(rows)), work=Work(3, 2, 1)
        )


def test_the_loss_is_the_weighted_mean_over_windows() -> None:
    found = WeightedEvaluator(Known(), np.array([2.0, 1.0, 1.0])).evaluate([(1, 0), (0, 1)])
    assert found.losses.tolist() == [(2 * 1 + 2 + 6) / 4, np.inf]
    assert found.tokens.tolist() == [10, 10, 10]
    assert (found.cost, found.work) == (2.0, Work(3, 2, 1))


def test_some_windows_have_their_own_weights_and_a_cache_fits_around() -> None:
    evaluator = CachedEvaluator(WeightedEvaluator(Known(), np.array([2.0, 1.0, 1.0])))
    evaluator.evaluate([(1, 0)], [0, 2])
    whole = evaluator.evaluate([(1, 0)])
    assert whole.sums.tolist() == [[15.0, 15.0, 45.0]]


@pytest.mark.filterwarnings("error")
def test_an_infinite_sum_cannot_win_where_its_window_has_no_weight() -> None:
    found = WeightedEvaluator(Known(), np.array([2.0, 1.0, 0.0])).evaluate([(1, 0), (0, 1)])
    assert np.isfinite(found.losses).tolist() == [True, False]


@pytest.mark.parametrize(
    "weights", [[0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0], [[1.0, 1.0]], [np.inf, 1.0]]
)
def test_weights_that_say_nothing_are_refused(weights) -> None:
    with pytest.raises(InputError, match="`weights` must be finite, at least 0 and not all 0"):
        WeightedEvaluator(Known(), np.array(weights))
