"""Swaps that promise more, one after the other, until none does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evop_deap.space import Pattern, SearchSpace, Unit, dropped_units
from evop_deap.space.allowances import Allowance
from evop_deap.surrogate.kernel import Drops, as_drops
from evop_deap.surrogate.local_search import Bound, local_search

UNITS = tuple(Unit(str(i), 1, 1) for i in range(9))
HALVES = tuple(Unit(f"{i // 2}.{('attn', 'mlp')[i % 2]}", 1, 1) for i in range(8))
WEIGHTS = (1, 3, 1, 3, 1, 3, 1, 3)
SPACES = {
    "units": SearchSpace(UNITS, 3, protected=frozenset({0, 8})),
    "halves": SearchSpace(HALVES, 4),
    "parameters": SearchSpace.within(HALVES, (Allowance("parameters", WEIGHTS, limit=8),)),
    "pairs": SearchSpace(HALVES, 4, pairs=frozenset(range(7))),
}


def additive(effects: NDArray[np.float64]) -> Bound:
    return lambda drops: drops @ effects


def rugged(drops: Drops) -> NDArray[np.float64]:
    """A number for each pattern that has nothing to do with that of another."""
    codes = (drops @ 2.0 ** np.arange(drops.shape[1])).astype(int)
    return np.array([np.random.default_rng(code).random() for code in codes.tolist()])


def searched(space: SearchSpace, start: Pattern, bound: Bound, seen: set[Pattern]) -> list[Pattern]:
    return local_search(as_drops([start])[0], bound, space, excluded=seen)


@given(st.sampled_from(sorted(SPACES)), st.permutations(range(9)), st.data())
def test_each_step_is_new_in_the_space_and_promises_more(
    name: str, order: list[int], data: st.DataObject
) -> None:
    space = SPACES[name]
    units = range(len(space.units))
    others = st.permutations(units).map(space.greedy)
    seen = data.draw(st.sets(others, max_size=6))
    start = space.greedy(unit for unit in order if unit in units)
    path = searched(space, start, rugged, seen)
    assert all(pattern in space and pattern not in seen for pattern in path)
    bounds = rugged(as_drops([start, *path]))
    assert (np.diff(bounds) < 0).all()


@given(st.integers(0, 10**6), st.permutations(range(9)))
def test_where_units_add_up_the_best_pattern_is_found_from_anywhere(
    seed: int, order: list[int]
) -> None:
    space = SPACES["units"]
    effects = np.random.default_rng(seed).normal(size=9)
    start = space.greedy(order)
    best = space.pattern(sorted(space.droppable, key=effects.__getitem__)[:3])
    path = searched(space, start, additive(effects), set())
    assert (path[-1] if path else start) == best
    assert len(path) == len(set(dropped_units(best)) - set(dropped_units(start)))


def test_where_the_search_ends_no_swap_promises_more() -> None:
    space = SPACES["units"]
    start = space.pattern([1, 2, 3])
    last = searched(space, start, rugged, set())[-1]
    gone = dropped_units(last)
    swaps = [
        space.pattern({*gone} - {back} | {unit})
        for back in gone
        for unit in space.droppable
        if unit not in gone
    ]
    assert rugged(as_drops(swaps)).min() > rugged(as_drops([last]))[0]


def test_what_was_seen_is_stepped_over_for_the_best_of_what_is_left() -> None:
    space, effects = SPACES["units"], np.arange(9.0)
    start, best, second = (space.pattern(gone) for gone in ([1, 2, 7], [1, 2, 3], [1, 2, 4]))
    assert searched(space, start, additive(effects), {best})[-1] == second


def test_of_halves_a_block_goes_for_another_where_no_half_would() -> None:
    space = SearchSpace(HALVES, 2)

    def broken(drops: Drops) -> NDArray[np.float64]:
        """Halves that go alone cost more than any block; the last block costs the least."""
        blocks = drops.reshape(len(drops), 4, 2).sum(axis=2)
        return (blocks == 1).sum(axis=1) * 10.0 - blocks @ np.arange(4.0)

    assert searched(space, space.pattern([2, 3]), broken, set()) == [space.pattern([6, 7])]


def test_pairs_go_together() -> None:
    effects = np.array([9.0, 0, 0, 9, 0, 0, 9, 9])
    space = SPACES["pairs"]
    found = searched(space, space.pattern([0, 1, 6, 7]), additive(effects), set())
    assert found[-1] == space.pattern([1, 2, 4, 5])


def test_a_space_with_nothing_to_swap_has_no_way_to_go() -> None:
    space = SearchSpace(UNITS, 3, protected=frozenset(range(6)))
    assert searched(space, space.pattern([6, 7, 8]), rugged, set()) == []
