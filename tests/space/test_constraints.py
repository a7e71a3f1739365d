"""Constraints on a space: of some units, a few must stay."""

from __future__ import annotations

import itertools
import random

import pytest
from deap import base
from hypothesis import given, settings
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.evolution.nsga2 import front_toolbox
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.evolution.trade import Trade
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.heuristics.registry import METHODS
from evop_deap.heuristics.task import Task
from evop_deap.space import Constraint, SearchSpace, Unit
from evop_deap.space.budget import parse_budget
from evop_deap.surrogate.first_population import init_balanced

HALVES = tuple(
    Unit(f"{block}.{kind}", 10 + 7 * block, 10) for block in range(4) for kind in ("attn", "mlp")
)


@st.composite
def constrained_spaces(draw: st.DrawFn) -> SearchSpace:
    n_units = draw(st.integers(3, 9))
    units = tuple(Unit(str(i), 3 + i % 3, 1) for i in range(n_units))
    positions = st.integers(0, n_units - 1)
    groups = draw(st.lists(st.frozensets(positions, min_size=1), min_size=1, max_size=3))
    constraints = [Constraint(g, draw(st.integers(1, len(g)))) for g in groups]
    protected = draw(st.frozensets(positions, max_size=1))
    n_drop = draw(st.integers(1, n_units - 1 - len(protected)))
    by_weight = draw(st.booleans())
    if by_weight:
        allowances = parse_budget("parameters=0.5", units)
        plain = SearchSpace.within(units, allowances, protected)
    else:
        plain = SearchSpace(units, n_drop, protected)
    try:
        return plain.constrained(constraints)
    except InputError:
        pass
    return plain


def meets(space: SearchSpace, pattern: tuple[int, ...]) -> bool:
    return all(sum(pattern[u] for u in one.units) >= one.least for one in space.constraints)


@given(constrained_spaces(), st.randoms(use_true_random=False))
def test_what_is_drawn_meets_the_constraints(space: SearchSpace, rng: random.Random) -> None:
    for _ in range(5):
        pattern = space.random_pattern(rng)
        assert meets(space, pattern)
        if not space.allowances:
            assert pattern in space
    for genome in init_balanced(space, 6, rng=rng):
        assert meets(space, genome.pattern)


@given(constrained_spaces())
def test_a_space_holds_only_patterns_that_meet_its_constraints(space: SearchSpace) -> None:
    inside = [p for p in itertools.product((0, 1), repeat=len(space.units)) if p in space]
    assert all(meets(space, pattern) for pattern in inside)
    assert len(inside) <= space.size
    groups = [one.units for one in space.constraints]
    if space.is_count and sum(map(len, groups)) == len(frozenset().union(*groups)):
        assert len(inside) == space.size


@given(constrained_spaces(), st.randoms(use_true_random=False))
def test_operators_keep_the_constraints(space: SearchSpace, rng: random.Random) -> None:
    toolbox = make_toolbox(space, TabularEvaluator({}, missing=1.0), rng)
    _check_operators(toolbox, space)


@settings(max_examples=40)
@given(constrained_spaces(), st.randoms(use_true_random=False))
def test_operators_of_a_front_keep_the_constraints(space: SearchSpace, rng: random.Random) -> None:
    if space.is_count:
        trade = Trade(space, tuple(float(unit.parameters) for unit in space.units))
        _check_operators(front_toolbox(trade, rng, EvolutionSettings()), space)


def _check_operators(toolbox: base.Toolbox, space: SearchSpace) -> None:
    for _ in range(4):
        children = toolbox.mate(toolbox.individual(), toolbox.individual())
        for child in children:
            assert meets(space, child.pattern)
            (mutated,) = toolbox.mutate(child)
            assert meets(space, mutated.pattern)
            assert all(mutated[unit] for unit in space.protected)


def test_pairs_of_halves_keep_the_constraints() -> None:
    attention = frozenset(range(0, 8, 2))
    pairs = frozenset(range(7))
    plain = SearchSpace(HALVES, n_drop=6, pairs=pairs)
    space = plain.constrained([Constraint(attention - {0}, least=1)])
    inside = [p for p in itertools.product((0, 1), repeat=8) if p in space]
    assert 0 < len(inside) < plain.size
    rng = random.Random(0)
    assert all(space.random_pattern(rng) in inside for _ in range(40))


def test_budgets_by_kind_keep_the_constraints() -> None:
    allowances = parse_budget("attn=3,mlp=2", HALVES)
    space = SearchSpace.within(HALVES, allowances).constrained([Constraint(frozenset({0, 2}), 1)])
    rng = random.Random(0)
    drawn = [space.random_pattern(rng) for _ in range(40)]
    assert all(pattern in space and (pattern[0] or pattern[2]) for pattern in drawn)


@pytest.mark.parametrize(
    "name", ["random", "random-best", "last", "leave-one-out", "sleb", "evopress", "tpe", "nsga2"]
)
def test_heuristics_keep_the_constraints(name: str) -> None:
    units = tuple(Unit(str(i), 10 + i, 10) for i in range(6))
    space = SearchSpace(units, 3).constrained([Constraint(frozenset({3, 4, 5}), 1)])
    table = TabularEvaluator(
        {p: float(sum((9 - i) * (1 - g) for i, g in enumerate(p))) for p in
         itertools.product((0, 1), repeat=6)}
    )  # fmt: skip
    assert METHODS[name](Task(space, table, random.Random(0))).pattern in space


def test_units_that_must_all_stay_become_protected() -> None:
    units = tuple(Unit(str(i), 1, 1) for i in range(5))
    space = SearchSpace(units, 2, frozenset({0}))
    assert space.constrained([Constraint(frozenset({3}), 1)]).protected == {0, 3}
    assert space.constrained([Constraint(frozenset({0, 3}), 1)]) == space
    assert space.constrained([Constraint(frozenset({0, 3}), 2)]).protected == {0, 3}


def test_a_budget_that_no_constrained_pattern_meets_is_refused_with_the_reason() -> None:
    units = tuple(Unit(str(i), 1, 1) for i in range(4))
    space = SearchSpace(units, 3)
    one_each = [Constraint(frozenset({0, 1}), 1, "it needs attention"),
                Constraint(frozenset({2, 3}), 1, "it needs a mixer")]  # fmt: skip
    with pytest.raises(InputError, match="needs attention; it needs a mixer.*lower it"):
        space.constrained(one_each)
