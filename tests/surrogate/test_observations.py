"""What a surrogate learns from: logarithms of excess losses, and how sure each is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.space import SearchSpace, Unit
from evop_deap.surrogate.observations import Observations, observe

TOKENS = np.array([10, 10, 20])
DENSE, FIRST, SECOND, THIRD = (1, 1, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)
BASE = np.array([10.0, 20.0, 40.0])


def test_a_value_is_the_logarithm_of_the_excess_over_the_dense_loss() -> None:
    seen = observe(
        {DENSE: BASE, FIRST: BASE + TOKENS * 0.5, SECOND: BASE + TOKENS * 2}, TOKENS, DENSE
    )
    assert seen.drops.tolist() == [[1, 0, 0], [0, 1, 0]]
    np.testing.assert_allclose(seen.values, np.log([0.5, 2.0]))
    assert seen.noise.tolist() == [0.0, 0.0]
    np.testing.assert_allclose(seen.loss(seen.values), BASE.sum() / 40 + np.array([0.5, 2.0]))


def test_a_pattern_judged_in_part_is_compared_on_what_was_judged_and_is_less_sure() -> None:
    part = np.array([10.0 + 3.0, 20.0 + 5.0, math.nan])
    # What loses so much more says nothing of what the third window adds.
    seen = observe({DENSE: BASE, FIRST: part, SECOND: BASE + 99 * TOKENS}, TOKENS, DENSE)
    assert seen.values[0] == pytest.approx(math.log(0.4))
    # Windows differ by 0.2 nats a token: variance 0.02, two of them, a third of all unseen.
    assert seen.noise[0] == pytest.approx(0.02 / 2 * (1 / 3) / 0.4**2)
    assert seen.noise[1] == 0.0


def test_one_window_is_not_taken_for_certain() -> None:
    part = np.array([13.0, math.nan, math.nan])
    seen = observe({DENSE: BASE, FIRST: part, SECOND: BASE + TOKENS}, TOKENS, DENSE)
    assert seen.noise[0] > 0.1


def test_patterns_of_which_no_window_was_judged_are_left_out() -> None:
    nothing = np.full(3, math.nan)
    seen = observe({DENSE: BASE, FIRST: nothing, SECOND: BASE + TOKENS}, TOKENS, DENSE)
    assert seen.drops.tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("others", [math.inf, math.nan])
@pytest.mark.parametrize("lost", [math.inf, -math.inf])
def test_what_came_out_as_no_number_is_as_bad_as_the_worst(lost: float, others: float) -> None:
    broken, worst = np.array([lost, others, others]), BASE + TOKENS * np.array([1.0, 2.0, 2.5])
    rows = {DENSE: BASE, FIRST: BASE + TOKENS, SECOND: broken, THIRD: worst}
    seen = observe(rows, TOKENS, DENSE)
    assert seen.values[1] == seen.values[2] > seen.values[0]


def test_where_nothing_is_a_number_nothing_was_seen() -> None:
    assert len(observe({DENSE: BASE, FIRST: np.full(3, math.inf)}, TOKENS, DENSE)) == 0
    assert len(observe({DENSE: BASE}, TOKENS, DENSE)) == 0
    assert len(observe({}, TOKENS, DENSE)) == 0


def test_without_a_dense_loss_losses_stand_for_themselves() -> None:
    seen = observe({FIRST: BASE, SECOND: 2 * BASE}, TOKENS, DENSE)
    np.testing.assert_allclose(np.exp(seen.values), [70 / 40, 140 / 40])


@given(st.lists(st.floats(-2.0, 50.0), min_size=3, max_size=3, unique=True))
def test_values_are_finite_and_in_the_order_of_the_losses_even_where_pruning_helps(
    excess: list[float],
) -> None:
    rows = {DENSE: BASE}
    for pattern, more in zip((FIRST, SECOND, THIRD), excess, strict=True):
        rows[pattern] = BASE + more * TOKENS
    seen = observe(rows, TOKENS, DENSE)
    losses = np.array([(rows[p].sum()) / TOKENS.sum() for p in (FIRST, SECOND, THIRD)])
    assert np.isfinite(seen.values).all()
    np.testing.assert_allclose(seen.loss(seen.values), losses, atol=1e-9)


def test_of_many_the_best_half_and_some_of_all_others_are_kept_in_their_order() -> None:
    values = np.arange(40.0)[::-1].copy()
    seen = Observations(np.arange(40.0)[:, None], values, np.zeros(40), 0.0)
    kept = seen.bounded(10)
    assert len(kept) == 10
    assert set(kept.values[kept.values < 5]) == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert kept.values.max() == 39.0
    assert kept.drops[:, 0].tolist() == sorted(kept.drops[:, 0].tolist())
    assert seen.bounded(40) is seen


def test_what_is_worse_than_most_is_taken_for_a_tenth_as_far_beyond_them() -> None:
    seen = Observations(np.eye(4), np.array([4.0, 1.0, 3.0, 2.0]), np.zeros(4), 0.0)
    space = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(4)), 1)
    assert seen.squeezed(0.5, space).values == pytest.approx([2.65, 1.0, 2.55, 2.0])
    assert seen.squeezed(1.0, space).values.tolist() == seen.values.tolist()


def test_patterns_outside_the_space_say_nothing_of_what_is_bad_in_it() -> None:
    drops = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 1]])
    seen = Observations(drops, np.array([0.1, 0.2, 3.0, 4.0, 5.0]), np.zeros(5), 0.0)
    space = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(3)), 2)
    assert seen.inside(space).tolist() == [False, False, True, True, True]
    assert seen.squeezed(0.5, space).values == pytest.approx([0.1, 0.2, 3.0, 4.0, 4.1])
    only_outside = seen.first(2)
    assert only_outside.squeezed(0.5, space) is only_outside
