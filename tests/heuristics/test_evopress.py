"""EvoPress's procedure: its first patterns, its switches, and how much it looks at."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from toy_landscapes import toy_landscape

from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.protocol import Evaluation
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.heuristics import METHODS, Task
from evop_deap.heuristics.evopress import level_switch
from evop_deap.space import Pattern, SearchSpace, Unit, dropped_units
from evop_deap.space.allowances import Allowance
from evop_deap.space.constraints import Constraint

EVOPRESS = METHODS["evopress"]
KINDS = ("attn", "mlp")


def halves(blocks: int) -> tuple[Unit, ...]:
    return tuple(Unit(f"{i}.{kind}", 1, 1) for i in range(blocks) for kind in KINDS)


def evaluated(space: SearchSpace, seed: int = 0, evaluations: int = 80) -> list[Pattern]:
    """The patterns that a run evaluates, in order, on a model where all are alike."""
    evaluator = CachedEvaluator(TabularEvaluator({}, missing=1.0))
    EVOPRESS(Task(space, evaluator, random.Random(seed), Stopping(evaluations=evaluations)))
    return list(evaluator.rows)


def dropped_of_a_kind(pattern: Pattern, units: Sequence[Unit]) -> list[int]:
    gone = [units[unit].kind for unit in dropped_units(pattern)]
    return [gone.count(kind) for kind in KINDS]


@given(pairs=st.integers(1, 4), odd=st.booleans(), seed=st.integers(0, 99))
def test_of_halves_as_many_of_each_kind_go(pairs: int, odd: bool, seed: int) -> None:
    space = SearchSpace(halves(8), 2 * pairs + odd)
    for pattern in evaluated(space, seed):
        attention, mlp = dropped_of_a_kind(pattern, space.units)
        assert abs(attention - mlp) == odd


def test_an_odd_half_is_of_either_kind() -> None:
    space = SearchSpace(halves(8), 3)
    assert {tuple(dropped_of_a_kind(p, space.units)) for p in evaluated(space)} == {(1, 2), (2, 1)}


def test_a_kind_that_is_short_leaves_the_rest_to_the_other() -> None:
    attention = frozenset(range(0, 14, 2))  # of eight blocks; one is left that may go
    space = SearchSpace(halves(8), 6, attention)
    assert all(dropped_of_a_kind(p, space.units) == [1, 5] for p in evaluated(space, evaluations=7))


def test_equal_halves_keep_what_a_model_cannot_do_without() -> None:
    space = SearchSpace(halves(3), 4).constrained([Constraint(frozenset({0, 2}), 1)])
    patterns = evaluated(space, evaluations=6)
    assert patterns
    assert all(pattern in space for pattern in patterns)


def test_a_budget_of_each_kind_is_met_as_it_is() -> None:
    units = halves(6)
    weights = [tuple(int(unit.kind == kind) for unit in units) for kind in KINDS]
    allowances = (Allowance("attn", weights[0], 1), Allowance("mlp", weights[1], 3))
    space = SearchSpace.within(units, allowances)
    assert {tuple(dropped_of_a_kind(p, units)) for p in evaluated(space)} == {(1, 3)}


def test_a_level_switch_keeps_the_number_of_each_kind() -> None:
    space, rng = SearchSpace(halves(5), 4, frozenset({0})), random.Random(1)
    start = space.pattern([1, 2, 4, 7])
    for _ in range(50):
        (child,) = level_switch(list(start), rng=rng, space=space)
        assert tuple(child) in space
        assert dropped_of_a_kind(tuple(child), space.units) == [2, 2]


def test_it_looks_at_a_part_of_the_windows_and_pays_for_no_more() -> None:
    known = toy_landscape()
    evaluator = CachedEvaluator(TabularEvaluator(known, missing=9.0))
    limit = Stopping(evaluations=40)
    pick = EVOPRESS(Task(SearchSpace(known.units, 3), evaluator, random.Random(0), limit))
    assert any(np.isnan(row).any() for row in evaluator.rows.values())
    assert len(evaluator.rows) == pick.evaluations <= 40


class Recording(TabularEvaluator):
    """A table that notes for how many windows each request was."""

    windows: list[int]

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        found = super().evaluate(patterns, windows)
        self.windows.append(len(found.tokens))
        return found


def test_it_ends_with_the_authors_generations_where_nothing_limits_it() -> None:
    known = toy_landscape(units=5, drops=(1,), windows=8)
    evaluator = Recording(known)
    evaluator.windows = []
    EVOPRESS(Task(SearchSpace(known.units, 1), evaluator, random.Random(0)))
    # One of 5 units goes: 1 * (5 - 1) / 1.5 generations, to the nearest. Each looks at one of
    # the 8 windows, then at four; before them the first parent is chosen by one.
    about, *looks = evaluator.windows
    assert (about, looks) == (8, [1, *[1, 4] * 3])
