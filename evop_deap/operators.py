"""Initialisation, crossover, mutation, selection: DEAP's signatures, each keeping the budget.

Every operator works on any mutable sequence of 0/1 (1 = keep), keeps the number of dropped
units by construction but for `mutate_resize`, never drops a unit that is not in `droppable`, and
takes its randomness as an argument, to be bound with `toolbox.register`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, MutableSequence, Sequence
from typing import Any, TypeVar

from evop_deap.genome import Genome
from evop_deap.space import SearchSpace, dropped_units

_DEALS = 50  # tries at a hand that is new, and hands taken back

Individual = TypeVar("Individual", bound=MutableSequence[int])


def init_uniform(space: SearchSpace, *, rng: random.Random) -> Genome:
    """A pattern drawn from the space (EvoP, section 3.3: random initial patterns).

    Uniformly, where the budget is a plain count; else units go in random order while they fit.
    """
    if not space.is_count:
        return Genome(space.greedy(rng.sample(space.droppable, len(space.droppable))))
    return Genome(space.pattern(rng.sample(space.droppable, space.n_drop)))


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


def init_balanced(space: SearchSpace, n: int, *, rng: random.Random) -> list[Genome]:
    """Up to `n` patterns, no two alike, that drop every droppable unit as often as any other.

    Of a space with allowances, as nearly as what units weigh lets them.

    The units are dealt like cards: a pack is used up before the next is shuffled. Where its last
    cards are a hand that was dealt before, the hand before them is dealt again. Counts of two
    units differ by more than one only in a space that has few more patterns than are asked for.
    """
    found: dict[tuple[int, ...], Genome] = {}
    packs: list[Sequence[int]] = []  # as they were before each hand
    pack: Sequence[int] = []
    retreats = 0
    while len(found) < min(n, space.size):
        for _ in range(_DEALS):
            genome, rest = _deal(pack, space, rng)
            if genome.pattern not in found:
                found[genome.pattern] = genome
                packs.append(pack)
                pack = rest
                break
        else:
            if packs and retreats < _DEALS:
                found.popitem()
                pack, retreats = packs.pop(), retreats + 1
            elif pack:
                pack = []
            else:
                break
    return list(found.values())


def _deal(pack: Sequence[int], space: SearchSpace, rng: random.Random) -> tuple[Genome, list[int]]:
    """A new pattern, and what is left of the pack and of another one if need be."""
    if not space.is_count:
        others = [unit for unit in space.droppable if unit not in pack]
        order = rng.sample(list(pack), len(pack)) + rng.sample(others, len(others))
        pattern = space.greedy(order)
        gone = dropped_units(pattern)
        rest = [unit for unit in pack if unit not in gone]
        opened = [unit for unit in gone if unit not in pack]
        if opened:
            rest += [unit for unit in space.droppable if unit not in {*opened, *rest}]
        return Genome(pattern), rest
    hand = rng.sample(list(pack), min(space.n_drop, len(pack)))
    rest = [unit for unit in pack if unit not in hand]
    if (missing := space.n_drop - len(hand)) > 0:
        fresh = [unit for unit in space.droppable if unit not in hand]
        drawn = rng.sample(fresh, missing)
        hand += drawn
        rest = [unit for unit in space.droppable if unit not in drawn]
    return Genome(space.pattern(hand)), rest


def within_budget(
    operator: Callable[..., tuple[Individual, ...]], *, space: SearchSpace, rng: random.Random
) -> Callable[..., tuple[Individual, ...]]:
    """`operator`, whose children are made to meet a budget that is no plain count.

    What the operator has just dropped goes first, then what its parent had dropped, in random
    order, each as far as it fits; what is left of the budget is filled with others at random.
    """

    def within(*individuals: Individual, **arguments: Any) -> tuple[Individual, ...]:
        before = [frozenset(dropped_units(individual)) for individual in individuals]
        children = operator(*individuals, **arguments)
        for child, old in zip(children, before, strict=True):
            gone = dropped_units(child)
            ranks = {unit: (unit in old) if unit in gone else 2 for unit in space.droppable}
            order = rng.sample(space.droppable, len(space.droppable))
            child[:] = space.greedy(sorted(order, key=ranks.__getitem__))
        return children

    return within


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
    more: float = 0.3,
) -> tuple[Individual]:
    """Mutation in place: a few dropped units come back and as many kept ones go.

    The number of swaps is geometric: one for certain, and each further one with probability
    `more`, as far as there are units to swap.
    """
    dropped, kept = _swappable(individual, droppable)
    most = min(len(dropped), len(kept))
    if most == 0:
        return (individual,)
    swaps = 1
    while swaps < most and rng.random() < more:
        swaps += 1
    for i in rng.sample(dropped, swaps):
        individual[i] = 1
    for i in rng.sample(kept, swaps):
        individual[i] = 0
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
    neighbour: float = 0.25,
    more: float = 0.3,
) -> tuple[Individual]:
    """Mutation in place: with probability `neighbour` a neighbour move, else swaps."""
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


def select_crowded(individuals: Sequence[Any], k: int, *, rng: random.Random) -> list[Any]:
    """`k` winners of two drawn at random: who dominates wins, else who is crowded less.

    Of equals the first drawn wins. Crowding distances are those of DEAP's `selNSGA2`, whose
    `selTournamentDCD` draws from the generator of the whole process.
    """

    def winner() -> Any:
        first, second = rng.choices(individuals, k=2)
        if first.fitness.dominates(second.fitness):
            return first
        crowded = first.fitness.crowding_dist < second.fitness.crowding_dist
        return second if crowded or second.fitness.dominates(first.fitness) else first

    return [winner() for _ in range(k)]


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
