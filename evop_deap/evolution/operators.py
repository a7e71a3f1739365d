"""Initialisation, crossover, mutation, selection: DEAP's signatures, each keeping the budget.

Every operator works on any mutable sequence of 0/1 (1 = keep), keeps the number of dropped
units by construction but for `mutate_resize`, never drops a unit that is not in `droppable`, and
takes its randomness as an argument, to be bound with `toolbox.register`.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.space import SearchSpace, dropped_units

_WHOLE = 0.5  # of mutations of halves: they move blocks whole

Individual = TypeVar("Individual", bound=MutableSequence[int])


def init_uniform(space: SearchSpace, *, rng: random.Random) -> Genome:
    """A pattern drawn from the space (EvoP, section 3.3: random initial patterns)."""
    return Genome(space.random_pattern(rng))


def init_distinct(
    individual: Callable[[], Individual], n: int, *, attempts: int = 100
) -> list[Individual]:
    """Up to `n` individuals, no two alike; fewer where `attempts` draws in a row bring none new."""
    found: dict[tuple[int, ...], Individual] = {}
    misses = 0
    while len(found) < n and misses < attempts:
        drawn = individual()
        misses = misses + 1 if tuple(drawn) in found else 0
        found.setdefault(tuple(drawn), drawn)
    return list(found.values())


@dataclass(frozen=True, eq=False)
class WithinBudget:
    """`operator`, whose children are made to meet a budget that is no plain count.

    What the operator has just dropped goes first, then what its parent had dropped, in random
    order, each as far as it fits; what is left of the budget is filled with others at random.
    """

    operator: Callable[..., tuple[Any, ...]]
    space: SearchSpace
    rng: random.Random

    def __call__(self, *individuals: Any, **arguments: Any) -> tuple[Any, ...]:
        """The operator's children, repaired in place."""
        before = [frozenset(dropped_units(individual)) for individual in individuals]
        children = self.operator(*individuals, **arguments)
        for child, old in zip(children, before, strict=True):
            gone, droppable = dropped_units(child), self.space.droppable
            ranks = {unit: (unit in old) if unit in gone else 2 for unit in droppable}
            order = self.rng.sample(droppable, len(droppable))
            child[:] = self.space.greedy(sorted(order, key=ranks.__getitem__))
        return children


def mate_agreeing(
    first: Individual, second: Individual, *, rng: random.Random
) -> tuple[Individual, Individual]:
    """Crossover in place: what the parents agree on stays, what they differ in is dealt out.

    Of the units that only one parent drops, the first child drops a random share and the
    second child the rest, so that each child drops as many units as its parent did.
    """
    differing = [i for i in range(len(first)) if first[i] != second[i]]
    to_drop = sum(1 for i in differing if not first[i])
    dropped = set(rng.sample(differing, to_drop))
    for i in differing:
        first[i] = 0 if i in dropped else 1
        second[i] = 1 if i in dropped else 0
    return first, second


def mutate_swap(
    individual: Individual,
    *,
    rng: random.Random,
    droppable: Sequence[int] | None = None,
    more: float = EvolutionSettings.more_swaps,
) -> tuple[Individual]:
    """Mutation in place: a few dropped units come back and as many kept ones go.

    The number of swaps is geometric: one for certain, and each further one with probability
    `more`, as far as there are units to swap.
    """
    dropped, kept = _swappable(individual, droppable)
    _swap(individual, [(i,) for i in dropped], [(i,) for i in kept], rng=rng, more=more)
    return (individual,)


def mutate_block(
    individual: Individual,
    *,
    rng: random.Random,
    blocks: Sequence[Sequence[int]],
    more: float = EvolutionSettings.more_swaps,
) -> tuple[Individual]:
    """Mutation in place: a few blocks dropped whole come back and as many kept whole go.

    Of halves, `blocks` says which of them make a block. As many swaps as `mutate_swap` makes.
    """
    _swap(individual, *_whole(individual, blocks), rng=rng, more=more)
    return (individual,)


def mutate_neighbour(
    individual: Individual, *, rng: random.Random, droppable: Sequence[int] | None = None
) -> tuple[Individual]:
    """Mutation in place: one dropped unit comes back and a kept neighbour of it goes instead.

    Neighbours are adjacent among the units that may be dropped: protected ones are stepped
    over.
    """
    order = list(droppable) if droppable is not None else list(range(len(individual)))
    moves = [
        (a, b) if not individual[a] else (b, a)
        for a, b in itertools.pairwise(order)
        if individual[a] != individual[b]
    ]
    if moves:
        back, gone = rng.choice(moves)
        individual[back], individual[gone] = 1, 0
    return (individual,)


def mutate_mixed(
    individual: Individual,
    *,
    rng: random.Random,
    droppable: Sequence[int] | None = None,
    blocks: Sequence[Sequence[int]] = (),
    neighbour: float = EvolutionSettings.neighbour,
    more: float = EvolutionSettings.more_swaps,
) -> tuple[Individual]:
    """Mutation in place: with probability `neighbour` a neighbour move, else swaps.

    Of halves, every other mutation moves blocks whole where there are any to move: the good
    patterns of blocks are few enough to be found soon, and better ones of halves lie near them.
    """
    if blocks and rng.random() < _WHOLE and all(whole := _whole(individual, blocks)):
        _swap(individual, *whole, rng=rng, more=more)
        return (individual,)
    if rng.random() < neighbour:
        return mutate_neighbour(individual, rng=rng, droppable=droppable)
    return mutate_swap(individual, rng=rng, droppable=droppable, more=more)


def mutate_resize(
    individual: Individual,
    *,
    rng: random.Random,
    droppable: Sequence[int] | None = None,
    most: int | None = None,
) -> tuple[Individual]:
    """Mutation in place that leaves the budget: one unit more goes, or one comes back.

    At least one unit goes, and `most` at the most; without it, all but one.
    """
    dropped, kept = _swappable(individual, droppable)
    most = len(individual) - 1 if most is None else most
    ways = [(kept, 0)] if kept and len(dropped) < most else []
    ways += [(dropped, 1)] if len(dropped) > 1 else []
    if ways:
        units, gene = rng.choice(ways)
        individual[rng.choice(units)] = gene
    return (individual,)


def select_crowded(
    individuals: Sequence[Any], k: int, *, tournsize: int, rng: random.Random
) -> list[Any]:
    """`k` winners of `tournsize` drawn at random: who dominates wins, else who is crowded less.

    Of equals the first drawn wins. Crowding distances are those of DEAP's `selNSGA2`, whose
    `selTournamentDCD` draws two from the generator of the whole process.
    """

    def better(first: Any, second: Any) -> Any:
        if first.fitness.dominates(second.fitness):
            return first
        crowded = first.fitness.crowding_dist < second.fitness.crowding_dist
        return second if crowded or second.fitness.dominates(first.fitness) else first

    return [functools.reduce(better, rng.choices(individuals, k=tournsize)) for _ in range(k)]


def select_tournament(
    individuals: Sequence[Any], k: int, *, tournsize: int, rng: random.Random
) -> list[Any]:
    """`k` winners, each the best of `tournsize` different individuals drawn at random."""
    pool = list(individuals)
    size = min(tournsize, len(pool))
    return [max(rng.sample(pool, size), key=_weighted) for _ in range(k)]


def _weighted(individual: Any) -> tuple[float, ...]:
    """What DEAP compares fitnesses by; tuples compare faster than they do."""
    values: tuple[float, ...] = individual.fitness.wvalues
    return values


def _swappable(
    individual: Sequence[int], droppable: Sequence[int] | None
) -> tuple[list[int], list[int]]:
    """The dropped units, and the kept ones that may be dropped."""
    order = range(len(individual)) if droppable is None else droppable
    return list(dropped_units(individual)), [i for i in order if individual[i]]


def _whole(
    individual: Sequence[int], blocks: Sequence[Sequence[int]]
) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
    """The blocks that are dropped whole, and those that are kept whole."""
    gone = set(dropped_units(individual))
    dropped = [block for block in blocks if gone.issuperset(block)]
    return dropped, [block for block in blocks if gone.isdisjoint(block)]


def _swap(
    individual: MutableSequence[int],
    dropped: Sequence[Sequence[int]],
    kept: Sequence[Sequence[int]],
    *,
    rng: random.Random,
    more: float,
) -> None:
    """One of `dropped` for one of `kept`, and each further with probability `more`."""
    most = min(len(dropped), len(kept))
    if most == 0:
        return
    swaps = 1
    while swaps < most and rng.random() < more:
        swaps += 1
    for group in rng.sample(dropped, swaps):
        for i in group:
            individual[i] = 1
    for group in rng.sample(kept, swaps):
        for i in group:
            individual[i] = 0
