from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_models import toy_model

from evop_deap import SearchConfig
from evop_deap.base.errors import InputError
from evop_deap.evolution.operators import init_uniform
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.surgery.packed_layers import packed_layers, pairs_that_repack
from evop_deap.models.surgery.packing import leftovers
from evop_deap.runs.stages.prepare import space_of
from evop_deap.space import Constraint, SearchSpace, Unit, dropped_units
from evop_deap.space.pairs import count_pairs, in_pairs, preferred_pairs

pair_sets = st.frozensets(st.integers(0, 7), min_size=1)


def choices(pairs: frozenset[int], count: int) -> list[tuple[int, ...]]:
    """Every way to choose so many pairs with no unit in two, by brute force."""
    found = itertools.combinations(sorted(pairs), count)
    units = (tuple(u for first in some for u in (first, first + 1)) for some in found)
    return [some for some in units if len(set(some)) == len(some)]


@given(pairs=pair_sets, count=st.integers(1, 4))
def test_choices_are_counted(pairs: frozenset[int], count: int) -> None:
    assert count_pairs(pairs, count) == len(choices(pairs, count))


@given(pairs=pair_sets, count=st.integers(1, 4), order=st.permutations(range(9)))
def test_the_first_of_an_order_go_if_any_choice_drops_them(pairs, count, order) -> None:
    possible = choices(pairs, count)
    if not possible:
        assert len(preferred_pairs(order, pairs, count)) < 2 * count
        return
    expected = min(possible, key=lambda some: sorted(order.index(unit) for unit in some))
    assert preferred_pairs(order, pairs, count) == sorted(expected)


@given(pairs=pair_sets, count=st.integers(1, 3), seed=st.integers(0, 99))
def test_children_stay_in_pairs(pairs, count, seed) -> None:
    units = tuple(Unit(str(i), 1, 1) for i in range(9))
    if not choices(pairs, count):
        with pytest.raises(InputError, match="`repackable` drops halves in pairs"):
            SearchSpace(units, 2 * count, pairs=pairs)
        return
    space, rng = SearchSpace(units, 2 * count, pairs=pairs), random.Random(seed)
    assert space.size == sum(p in space for p in itertools.product((0, 1), repeat=9))
    toolbox = make_toolbox(space, TabularEvaluator({}, missing=1.0), rng)
    first, second = init_uniform(space, rng=rng), init_uniform(space, rng=rng)
    for child in (*toolbox.mate(first, second), *toolbox.mutate(toolbox.clone(first))):
        assert tuple(child) in space
        assert in_pairs(dropped_units(child), pairs)


@given(pairs=pair_sets, protected=st.frozensets(st.integers(0, 8), max_size=5))
def test_pairs_with_a_protected_unit_are_none(
    pairs: frozenset[int], protected: frozenset[int]
) -> None:
    units = tuple(Unit(str(i), 1, 1) for i in range(9))
    free = frozenset(u for u in pairs if u not in protected and u + 1 not in protected)
    if not free:
        with pytest.raises(InputError, match="`repackable` drops halves in pairs.*protect fewer"):
            SearchSpace(units, 2, protected, pairs=pairs)
        return
    space = SearchSpace(units, 2, protected, pairs=pairs)
    later = SearchSpace(units, 2, pairs=pairs).constrained([Constraint(protected, len(protected))])
    inside = [p for p in itertools.product((0, 1), repeat=9) if p in space]
    assert space.size == later.size == len(inside)
    assert {*space.droppable} == {*later.droppable} == {u for p in inside for u in dropped_units(p)}


def test_protected_attention_leaves_no_pairs_to_repack() -> None:
    units = tuple(Unit(f"{block}.{kind}", 1, 1) for block in range(4) for kind in ("attn", "mlp"))
    protect = [f"{block}.attn" for block in range(4)]
    config = SearchConfig(
        model="demo", sparsity=0.25, granularity="half", repackable=True, protect=protect
    )
    with pytest.raises(InputError, match="`repackable` drops halves in pairs.*protect fewer"):
        space_of(config, units, pairs=range(7))


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt-neox-parallel"])
def test_what_stays_makes_whole_layers(name: str) -> None:
    model = toy_model(name)
    anatomy = find_anatomy(model, "half")
    units = tuple(Unit(str(i), 1, 1) for i in range(2 * len(anatomy.blocks)))
    pairs = frozenset(pairs_that_repack(model, anatomy))
    space, rng = SearchSpace(units, 4, pairs=pairs), random.Random(0)
    for _ in range(20):
        pattern = init_uniform(space, rng=rng).pattern
        layers = packed_layers(model, anatomy, dropped_units(pattern))
        assert not leftovers(layers)
        assert len(layers) == len(anatomy.blocks) - 2
