from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.space import Pattern

PATTERNS = st.lists(st.tuples(*[st.sampled_from([0, 1])] * 4), max_size=12)
WINDOWS = st.none() | st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)


class Plain:
    """Sums that tell patterns and windows apart."""

    def __init__(self) -> None:
        self.asked: list[tuple[Pattern, int]] = []

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        asked = list(range(3)) if windows is None else list(windows)
        self.asked += [(pattern, window) for pattern in patterns for window in asked]
        codes = np.array([int("".join(map(str, p)), 2) for p in patterns], dtype=float)
        sums = codes[:, None] + np.array([0.25, 0.5, 0.125])[asked]
        costs = (1.0 + codes) * len(asked)
        work = Work(len(patterns) * len(asked), len(patterns))
        return Evaluation(sums, np.array([3, 5, 4])[asked], costs, work=work)


@given(st.lists(st.tuples(PATTERNS, WINDOWS), max_size=5))
def test_a_cached_evaluator_answers_like_a_plain_one_and_asks_once(
    calls: list[tuple[list[Pattern], list[int] | None]],
) -> None:
    plain = Plain()
    cached = CachedEvaluator(plain)
    cost, work, needed = 0.0, Work(), {}
    for population, windows in calls:
        got, expected = cached.evaluate(population, windows), Plain().evaluate(population, windows)
        np.testing.assert_array_equal(got.sums, expected.sums)
        np.testing.assert_array_equal(got.tokens, expected.tokens)
        cost, work = cost + got.cost, work + got.work
        new = {
            pattern: dict.fromkeys(windows or range(3))
            for pattern in population
            if any((pattern, window) not in needed for window in windows or range(3))
        }
        assert got.hits == len(population) - len(new)
        needed |= {(p, w): None for p in population for w in windows or range(3)}
    assert len(plain.asked) == len(set(plain.asked))
    assert set(plain.asked) == set(needed)
    assert cost == sum(Plain().evaluate([p], [w]).cost for p, w in needed)
    assert work.block_tokens == len(needed)


def test_a_failed_evaluation_is_known_and_not_paid_for_again() -> None:
    class Failing(Plain):
        def evaluate(
            self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
        ) -> Evaluation:
            evaluation = super().evaluate(patterns, windows)
            evaluation.sums[:, 0] = np.nan
            return evaluation

    plain = Failing()
    cached = CachedEvaluator(plain)
    for _ in range(2):
        assert cached.evaluate([(1, 0, 1, 1)]).losses.tolist() == [np.inf]
    assert len(plain.asked) == 3


def test_restored_rows_are_not_paid_for_again() -> None:
    first, plain = CachedEvaluator(Plain()), Plain()
    first.evaluate([(1, 0, 1, 1), (0, 0, 1, 1)])
    second = CachedEvaluator(plain)
    second.restore(first.rows)
    evaluation = second.evaluate([(0, 0, 1, 1), (1, 1, 1, 1)])
    assert plain.asked == [((1, 1, 1, 1), window) for window in range(3)]
    np.testing.assert_array_equal(evaluation.costs, [0.0, 48.0])


def test_a_restored_row_that_is_known_in_part_is_completed() -> None:
    first, plain = CachedEvaluator(Plain()), Plain()
    first.evaluate([(1, 0, 1, 1)], [0, 2])
    second = CachedEvaluator(plain)
    second.restore(first.rows)
    second.evaluate([(1, 0, 1, 1)])
    assert plain.asked == [((1, 0, 1, 1), 1)]


def test_the_mean_loss_weighs_windows_by_their_tokens_and_failures_are_infinite() -> None:
    sums = np.array([[3.0, 5.0], [np.nan, 5.0], [np.inf, 0.0]])
    evaluation = Evaluation(sums, np.array([3, 5]), np.ones(3))
    np.testing.assert_array_equal(evaluation.losses, [1.0, np.inf, np.inf])
