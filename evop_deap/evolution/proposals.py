"""Proposals: children of a population by DEAP's operators, or random patterns."""

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
    """Return up to `count` different children of `population`, none of them in `seen`.

    There are fewer only if neither the operators nor random draws find a new pattern.
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
    """Return up to `count` different genomes, none of them in `seen`.

    Args:
        count: number of genomes.
        seen: patterns to exclude.
        related: breeds a genome.
        fresh: draws a genome, used when `related` fails.
        attempts: attempts per genome, first for `related` and then for `fresh`.
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
    """Draw `count` patterns together and return those that are not in `seen`."""
    drawn = map(Genome, toolbox.population(n=count))
    return [genome for genome in drawn if genome.pattern not in seen]


def _child(
    population: Sequence[Genome],
    toolbox: base.Toolbox,
    rng: random.Random,
    settings: EvolutionSettings,
) -> Genome:
    """Return a child of tournament winners, by crossover, mutation or both."""
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
