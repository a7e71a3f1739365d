from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from deap import base, creator
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.operators import (
    init_distinct,
    init_uniform,
    mate_agreeing,
    mutate_block,
    mutate_mixed,
    mutate_neighbour,
    mutate_swap,
    select_tournament,
)
from evop_deap.space import SearchSpace, Unit, dropped_units

MUTATIONS = [mutate_swap, mutate_neighbour, mutate_mixed]


def space_of(n_units: int, n_drop: int, protected: frozenset[int] = frozenset()) -> SearchSpace:
    return SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(n_units)), n_drop, protected)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    n_units = draw(st.integers(2, 40))
    protected = draw(st.frozensets(st.integers(0, n_units - 1), max_size=n_units - 1))
    n_drop = draw(st.integers(1, min(n_units - 1, n_units - len(protected))))
    return space_of(n_units, n_drop, protected)


@given(spaces(), st.randoms(use_true_random=False))
def test_initialisation_stays_in_the_space(space: SearchSpace, rng: random.Random) -> None:
    assert init_uniform(space, rng=rng).pattern in space


@pytest.mark.parametrize("mutate", MUTATIONS)
@given(space=spaces(), rng=st.randoms(use_true_random=False))
def test_mutation_stays_in_the_space_and_changes_what_can_be_changed(
    mutate: Callable[..., tuple[Genome]], space: SearchSpace, rng: random.Random
) -> None:
    individual = init_uniform(space, rng=rng)
    before = individual.pattern
    (after,) = mutate(individual, rng=rng, droppable=space.droppable)
    assert after is individual
    assert after.pattern in space
    assert (after.pattern != before) == (space.size > 1)


def halves_of(n_blocks: int, n_drop: int, protected: frozenset[int] = frozenset()) -> SearchSpace:
    names = (f"{block}.{kind}" for block in range(n_blocks) for kind in ("attn", "mlp"))
    return SearchSpace(tuple(Unit(name, 1, 1) for name in names), n_drop, protected)


def test_the_blocks_of_a_space_are_halves_that_may_go_together() -> None:
    assert halves_of(3, 2, frozenset({3})).blocks == ((0, 1), (4, 5))
    assert space_of(3, 2).blocks == ()


@given(st.integers(3, 12), st.randoms(use_true_random=False))
def test_a_block_goes_for_a_block_and_lone_halves_stay(n_blocks: int, rng: random.Random) -> None:
    space = halves_of(n_blocks, 3)
    individual = Genome(space.pattern([0, 1, 2]))  # block 0 and the attention of block 1
    mutate_block(individual, rng=rng, blocks=space.blocks)
    gone = dropped_units(individual)
    assert gone[0] == 2
    assert gone[1:] in space.blocks[2:]


def test_a_block_move_where_no_block_is_whole_changes_nothing() -> None:
    space = halves_of(3, 2)
    individual = Genome(space.pattern([0, 3]))
    mutate_block(individual, rng=random.Random(0), blocks=space.blocks)
    assert dropped_units(individual) == (0, 3)


def test_every_other_mutation_of_halves_moves_whole_blocks() -> None:
    space, rng = halves_of(30, 12), random.Random(0)
    whole = 0
    for _ in range(2000):
        individual = Genome(space.pattern(range(12)))
        mutate_mixed(individual, rng=rng, droppable=space.line, blocks=space.blocks)
        assert individual.pattern in space
        gone = set(dropped_units(individual))
        whole += all(gone.isdisjoint(block) or gone.issuperset(block) for block in space.blocks)
    # Two swaps of halves may happen to make a swap of blocks.
    assert whole / 2000 == pytest.approx(0.5, abs=0.04)


@given(spaces(), st.randoms(use_true_random=False))
def test_crossover_keeps_what_the_parents_agree_on_and_loses_no_gene(
    space: SearchSpace, rng: random.Random
) -> None:
    parents = [init_uniform(space, rng=rng) for _ in range(2)]
    first, second = (p.pattern for p in parents)
    children = mate_agreeing(parents[0], parents[1], rng=rng)
    assert children[0] is parents[0]
    assert children[1] is parents[1]
    for i in range(len(first)):
        assert Counter([first[i], second[i]]) == Counter([children[0][i], children[1][i]])
    assert all(child.pattern in space for child in children)


@given(
    st.lists(st.sampled_from([0, 1]), min_size=2, max_size=20).flatmap(
        lambda a: st.tuples(
            st.just(a), st.lists(st.sampled_from([0, 1]), min_size=len(a), max_size=len(a))
        )
    ),
    st.randoms(use_true_random=False),
)
def test_crossover_of_different_budgets_leaves_each_child_its_parents_budget(
    parents: tuple[list[int], list[int]], rng: random.Random
) -> None:
    budgets = [sum(parent) for parent in parents]
    assert [sum(child) for child in mate_agreeing(*parents, rng=rng)] == budgets


def test_a_neighbour_move_shifts_one_drop_past_protected_units_only() -> None:
    space = space_of(6, 1, frozenset({2, 3}))
    seen = set()
    for seed in range(50):
        individual = Genome(space.pattern([1]))
        mutate_neighbour(individual, rng=random.Random(seed), droppable=space.droppable)
        seen.add(dropped_units(individual))
    assert seen == {(0,), (4,)}


def test_swaps_are_mostly_single() -> None:
    space, rng = space_of(30, 6), random.Random(0)
    swaps: Counter[int] = Counter()
    for _ in range(3000):
        individual = init_uniform(space, rng=rng)
        before = set(dropped_units(individual))
        mutate_swap(individual, rng=rng, more=0.3)
        swaps[len(before - set(dropped_units(individual)))] += 1
    assert swaps[1] / 3000 == pytest.approx(0.7, abs=0.03)
    assert swaps[2] / 3000 == pytest.approx(0.21, abs=0.03)


def test_initialisation_draws_every_pattern_equally_often() -> None:
    space, rng = space_of(5, 2), random.Random(0)
    counts = Counter(init_uniform(space, rng=rng).pattern for _ in range(5000))
    assert len(counts) == 10
    assert all(abs(count - 500) < 100 for count in counts.values())


def test_distinct_initialisation_gives_as_many_as_there_are() -> None:
    space, rng = space_of(4, 1), random.Random(0)
    individuals = init_distinct(lambda: init_uniform(space, rng=rng), 10)
    assert len({individual.pattern for individual in individuals}) == len(individuals) == 4


def test_a_tournament_of_all_selects_the_best_every_time() -> None:
    individuals = [Genome([1, 0], loss=loss) for loss in (3.0, 1.0, 2.0)]
    winners = select_tournament(individuals, 5, tournsize=3, rng=random.Random(0))
    assert [winner.loss for winner in winners] == [1.0] * 5


def test_a_tournament_of_one_selects_anyone() -> None:
    individuals = [Genome([1, 0], loss=loss) for loss in (3.0, 1.0, 2.0)]
    winners = select_tournament(individuals, 100, tournsize=1, rng=random.Random(0))
    assert {winner.loss for winner in winners} == {1.0, 2.0, 3.0}


@pytest.mark.parametrize("operate", [*MUTATIONS, lambda i, rng: mate_agreeing(i, i[:], rng=rng)])
def test_operators_are_repeatable_from_the_state_of_their_generator(
    operate: Callable[..., object],
) -> None:
    outcomes = []
    for _ in range(2):
        individual = [1] * 20 + [0] * 5
        operate(individual, rng=random.Random(7))
        outcomes.append(individual)
    assert outcomes[0] == outcomes[1]


def test_individuals_made_with_deaps_creator_are_welcome() -> None:
    creator.create("FitnessOfATest", base.Fitness, weights=(-1.0,))
    creator.create("IndividualOfATest", list, fitness=creator.FitnessOfATest)
    try:
        rng = random.Random(0)
        first, second = (creator.IndividualOfATest(genes) for genes in ([1, 1, 0], [0, 1, 1]))
        assert [sum(child) for child in mate_agreeing(first, second, rng=rng)] == [2, 2]
        (mutant,) = mutate_mixed(first, rng=rng)
        assert isinstance(mutant, creator.IndividualOfATest)
    finally:
        del creator.FitnessOfATest, creator.IndividualOfATest
