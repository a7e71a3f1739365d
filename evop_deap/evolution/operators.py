"""Initialisation, crossover, mutation and selection that keep the budget, with DEAP's signatures.

Every operator works on any mutable sequence of 0/1 (1 = keep). It keeps the number of dropped
units by construction (except `mutate_resize`), never drops a unit that is not in `droppable`, and
takes its random generator as an argument, to be bound with `toolbox.register`.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.space import SearchSpace, dropped_units

_WHOLE = 0.5  # share of mutations of halves that swap whole blocks

Individual = TypeVar("Individual", bound=MutableSequence[int])


def init_uniform(space: SearchSpace, *, rng: random.Random) -> Genome:
    """Draw a pattern of the space (EvoP, section 3.3: random initial patterns)."""
    return Genome(space.random_pattern(rng))


def init_distinct(
    individual: Callable[[], Individual], n: int, *, attempts: int = 100
) -> list[Individual]:
    """Draw up to `n` different individuals; stop after `attempts` duplicates in a row."""
    found: dict[tuple[int, ...], Individual] = {}
    misses = 0
    while len(found) < n and misses < attempts:
        drawn = individual()
        misses = misses + 1 if tuple(drawn) in found else 0
        found.setdefault(tuple(drawn), drawn)
    return list(found.values())


@dataclass(frozen=True, eq=False)
class WithinBudget:
    """An operator whose children are repaired to meet the budget and constraints of a space.

    A child drops, in random order and as far as they fit, first the units that the operator newly
    dropped, then those that the parent had dropped, then any others.

    Attributes:
        operator: the operator, with DEAP's signature.
        space: the space of the children.
        rng: source of all randomness.
        any_size: whether a child drops as many units as the operator left it, not `space.n_drop`.
    """

    operator: Callable[..., tuple[Any, ...]]
    space: SearchSpace
    rng: random.Random
    any_size: bool = False

    def __call__(self, *individuals: Any, **arguments: Any) -> tuple[Any, ...]:
        """Return the operator's children, repaired in place."""
        before = [frozenset(dropped_units(individual)) for individual in individuals]
        children = self.operator(*individuals, **arguments)
        for child, old in zip(children, before, strict=True):
            gone, droppable = dropped_units(child), self.space.droppable
            space = replace(self.space, n_drop=len(gone)) if self.any_size else self.space
            ranks = {unit: (unit in old) if unit in gone else 2 for unit in droppable}
            order = self.rng.sample(droppable, len(droppable))
            child[:] = space.greedy(sorted(order, key=ranks.__getitem__))
        return children


def mate_agreeing(
    first: Individual, second: Individual, *, rng: random.Random
) -> tuple[Individual, Individual]:
    """Cross over in place: keep the genes on which the parents agree, and shuffle the others.

    Of the units that only one parent drops, the first child drops a random subset and the
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
    """Mutate in place: swap a few dropped units for as many kept ones.

    The number of swaps is geometric: one swap always, and each further one with probability
    `more`, limited by the number of units that can be swapped.
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
    """Mutate in place: swap a few wholly dropped blocks for as many wholly kept ones.

    `blocks` lists the halves of each block. The number of swaps is distributed as in
    `mutate_swap`.
    """
    _swap(individual, *_whole(individual, blocks), rng=rng, more=more)
    return (individual,)


def mutate_neighbour(
    individual: Individual, *, rng: random.Random, droppable: Sequence[int] | None = None
) -> tuple[Individual]:
    """Mutate in place: swap one dropped unit for a kept neighbour.

    Neighbours are adjacent in `droppable`: protected units between them are skipped.
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
    """Mutate in place: by a neighbour move with probability `neighbour`, else by swaps.

    With halves, every second mutation swaps whole blocks if it can: the good patterns of blocks
    are few and soon found, and better patterns of halves are near them.
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
    """Mutate in place without keeping the budget: drop one more unit, or restore one.

    The number of dropped units stays between 1 and `most` (default: all units but one).
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
    """Select `k` winners of tournaments by dominance, then by larger crowding distance.

    Ties go to the first one drawn. Crowding distances must be set by DEAP's `selNSGA2`. DEAP's own
    `selTournamentDCD` has two participants and draws from the global random generator.
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
    """Select `k` winners, each the best of `tournsize` different individuals drawn at random."""
    pool = list(individuals)
    size = min(tournsize, len(pool))
    return [max(rng.sample(pool, size), key=_weighted) for _ in range(k)]


def _weighted(individual: Any) -> tuple[float, ...]:
    """The values that DEAP compares; tuples compare faster than fitness objects."""
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
    """The wholly dropped blocks, and the wholly kept ones."""
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
    """Swap one of `dropped` for one of `kept`, and each further pair with probability `more`."""
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
