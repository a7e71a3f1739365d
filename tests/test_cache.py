from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.fitness.cache import CachedEvaluator
from evop_deap.fitness.evaluation import Evaluation
from evop_deap.space import Pattern

PATTERNS = st.lists(st.tuples(*[st.sampled_from([0, 1])] * 4), max_size=12)


class Plain:
    """Sums that tell patterns and windows apart."""

    def __init__(self) -> None:
        self.asked: list[Pattern] = []

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        self.asked += patterns
        codes = np.array([int("".join(map(str, p)), 2) for p in patterns], dtype=float)
        sums = codes[:, None] + np.array([0.25, 0.5])
        return Evaluation(sums, np.array([3, 5]), 1.0 + codes)


@given(st.lists(PATTERNS, max_size=4))
def test_a_cached_evaluator_answers_like_a_plain_one_and_asks_once(
    populations: list[list[Pattern]],
) -> None:
    plain = Plain()
    cached = CachedEvaluator(plain)
    cost = hits = 0.0
    for population in populations:
        got, expected = cached.evaluate(population), Plain().evaluate(population)
        np.testing.assert_array_equal(got.sums, expected.sums)
        np.testing.assert_array_equal(got.tokens, expected.tokens)
        cost, hits = cost + got.cost, hits + got.hits
    asked = [pattern for population in populations for pattern in population]
    assert plain.asked == list(dict.fromkeys(asked))
    assert cost == Plain().evaluate(plain.asked).cost
    assert hits == len(asked) - len(plain.asked)


def test_restored_rows_are_not_paid_for_again() -> None:
    first, plain = CachedEvaluator(Plain()), Plain()
    first.evaluate([(1, 0, 1, 1), (0, 0, 1, 1)])
    second = CachedEvaluator(plain)
    second.restore(first.rows)
    evaluation = second.evaluate([(0, 0, 1, 1), (1, 1, 1, 1)])
    assert plain.asked == [(1, 1, 1, 1)]
    np.testing.assert_array_equal(evaluation.costs, [0.0, 16.0])


def test_the_mean_loss_weighs_windows_by_their_tokens_and_failures_are_infinite() -> None:
    sums = np.array([[3.0, 5.0], [np.nan, 5.0], [np.inf, 0.0]])
    evaluation = Evaluation(sums, np.array([3, 5]), np.ones(3))
    np.testing.assert_array_equal(evaluation.losses, [1.0, np.inf, np.inf])
