"""New patterns: children of a population by DEAP's operators, or fresh draws."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

from deap import base

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.space import Pattern


def propose(
    population: Sequence[Genome],
    seen: Collection[Pattern],
    count: int,
    toolbox: base.Toolbox,
    rng: random.Random,
    settings: EvolutionSettings,
) -> list[Genome]:
    """Up to `count` children of `population`, no two alike and none in `seen`.

    Fewer come back only where neither the operators nor fresh draws find anything new.
    """
    return distinct(
        count,
        seen,
        related=lambda: _child(population, toolbox, rng, settings),
        fresh=lambda: Genome(*toolbox.population(n=1)),
        attempts=settings.attempts,
    )


def distinct(
    count: int,
    seen: Collection[Pattern],
    *,
    related: Callable[[], Genome],
    fresh: Callable[[], Genome],
    attempts: int,
) -> list[Genome]:
    """Up to `count` genomes, no two alike and none in `seen`: `related` ones, else `fresh` ones.

    Either has so many attempts at each.
    """
    children: dict[Pattern, Genome] = {}
    while len(children) < count:
        for attempt in range(2 * attempts):
            child = related() if attempt < attempts else fresh()
            if child.pattern not in seen and child.pattern not in children:
                children[child.pattern] = child
                break
        else:
            break
    return list(children.values())


def draw_unseen(seen: Collection[Pattern], count: int, toolbox: base.Toolbox) -> list[Genome]:
    """Those of `count` patterns drawn together that were not seen."""
    drawn = map(Genome, toolbox.population(n=count))
    return [genome for genome in drawn if genome.pattern not in seen]


def _child(
    population: Sequence[Genome],
    toolbox: base.Toolbox,
    rng: random.Random,
    settings: EvolutionSettings,
) -> Genome:
    """One child of tournament winners: crossed over, mutated, or both."""
    if rng.random() < settings.crossover:
        first, second = (Genome(parent) for parent in toolbox.select(population, 2))
        child, _ = toolbox.mate(first, second)
        mutated = rng.random() < settings.mutation
    else:
        (parent,) = toolbox.select(population, 1)
        child, mutated = Genome(parent), True
    if mutated:
        (child,) = toolbox.mutate(child)
    return Genome(child)
