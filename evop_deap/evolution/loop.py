"""EPPS, the evolutionary search for a pruning pattern (EvoP, arXiv 2502.14910), on DEAP's toolbox.

A (μ + λ) evolution with elitism in which no pattern is ever evaluated twice. It is an
assembly of replaceable callables from the toolbox, knows nothing of models, and goes from
one plain state to the next, so that a stored state continues exactly.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from deap import base

from evop_deap.evolution.callbacks import Callback, after_generation, judged_last
from evop_deap.evolution.generation import judge
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.logbook import foresight_of, record_of
from evop_deap.evolution.state import (
    Breed,
    Choice,
    EvolutionSettings,
    EvolutionState,
    Preference,
    Seeds,
)
from evop_deap.evolution.stopping import Stopping
from evop_deap.space import Pattern


def evolve(
    toolbox: base.Toolbox,
    rng: random.Random,
    *,
    settings: EvolutionSettings,
    stopping: Stopping,
    state: EvolutionState | None = None,
    callbacks: Sequence[Callback] = (),
) -> EvolutionState:
    """Search until a limit of `stopping` or a callback ends it.

    Args:
        toolbox: `population(n=…)`, `mate`, `mutate`, `select`, `evaluate` and `map` as DEAP
            registers them. With the `evaluate` of `make_toolbox` populations are judged whole;
            with any other, a pattern counts as one dense forward pass. Where there is a
            `choose(children, population)` that returns a `Choice`, such as `race`, only the
            children chosen are evaluated. Where there is a `prefer(proposals, count, breed)`
            that returns a `Preference`, as of a surrogate, more children are proposed than are
            evaluated, and it says which; it may `breed` more of them. Where there is a `seed()`
            that returns `Seeds`, the first population begins with them.
        rng: the generator that the toolbox's operators are bound to.
        settings: sizes and rates.
        stopping: when to end.
        state: where to go on; without it the search begins with a first population.
        callbacks: called in this order after each generation, the first one included.

    Returns:
        The last state; its `stopped` tells why it is the last.
    """
    began = time.monotonic() - (state.seconds if state else 0.0)

    def finish(state: EvolutionState) -> EvolutionState:
        return after_generation(state, stopping, callbacks, began=began)

    if state is None:
        state = finish(_first_generation(toolbox, rng, settings, stopping))
    else:
        rng.setstate(state.rng_state)
        state = judged_last(state, stopping)
    while state.stopped is None:
        count = stopping.evaluations_left(state.evaluations, settings.offspring)
        seen = {*state.losses, *state.lost}
        breed = _breeding(seen, toolbox, rng, settings)
        prefer = getattr(toolbox, "prefer", _the_first)
        wanted = count if prefer is _the_first else count * settings.proposals
        anew = state.stagnates(settings.restart)
        proposals = _drawn(seen, wanted, toolbox) if anew else []
        proposals = proposals or breed.children(state.population, wanted, ())
        # Where nearly all was seen, many drawn at once hold what one after the other has missed.
        proposals = proposals or _drawn(seen, wanted, toolbox)
        if not proposals:
            return replace(state, stopped="every pattern within reach was evaluated")
        if anew:
            state = replace(state, population=state.population[:1], restarted=state.generation + 1)
        preference = prefer(proposals, count, breed)
        state = finish(_next_generation(state, preference, toolbox, rng, settings))
    return state


def propose(
    population: Sequence[Genome],
    seen: Collection[Pattern],
    count: int,
    toolbox: base.Toolbox,
    rng: random.Random,
    *,
    settings: EvolutionSettings,
) -> list[Genome]:
    """Up to `count` children of `population`, no two alike and none in `seen`.

    Fewer come back only where neither the operators nor fresh draws find anything new.
    """
    children: dict[Pattern, Genome] = {}
    while len(children) < count:
        for attempt in range(2 * settings.attempts):
            related = attempt < settings.attempts
            child = _child(population, toolbox, rng, settings) if related else _fresh(toolbox)
            if child.pattern not in seen and child.pattern not in children:
                children[child.pattern] = child
                break
        else:
            break
    return list(children.values())


def survive(individuals: Sequence[Genome], count: int) -> tuple[Genome, ...]:
    """The best `count`, best first; of equals those that came first."""
    return tuple(sorted(individuals, key=lambda individual: individual.loss)[:count])


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


def _breeding(
    seen: Collection[Pattern],
    toolbox: base.Toolbox,
    rng: random.Random,
    settings: EvolutionSettings,
) -> Breed:
    """`propose` as a `prefer` may use it."""

    def children(
        parents: Sequence[Genome], count: int, beside: Collection[Pattern]
    ) -> list[Genome]:
        known = {*seen, *beside}
        return propose(parents, known, count, toolbox, rng, settings=settings)

    return Breed(seen, children)


def _drawn(seen: Collection[Pattern], count: int, toolbox: base.Toolbox) -> list[Genome]:
    """Fresh patterns that were not seen."""
    drawn = map(Genome, toolbox.population(n=count))
    return [genome for genome in drawn if genome.pattern not in seen]


def _the_first(proposals: Sequence[Genome], count: int, breed: Breed) -> Preference:
    """Proposals as they come."""
    return Preference(tuple(proposals[:count]))


def _fresh(toolbox: base.Toolbox) -> Genome:
    (individual,) = toolbox.population(n=1)
    return Genome(individual)


def _first_generation(
    toolbox: base.Toolbox,
    rng: random.Random,
    settings: EvolutionSettings,
    stopping: Stopping,
) -> EvolutionState:
    seeds: Seeds = toolbox.seed() if hasattr(toolbox, "seed") else Seeds()
    known = [Genome(pattern, loss=loss) for pattern, loss in seeds.losses.items()]
    begun = [Genome(pattern) for pattern in seeds.patterns if pattern not in seeds.losses]
    wanted = max(settings.population, len(begun))  # every rule is heard
    count = stopping.evaluations_left(len(known) + seeds.beside, wanted)
    drawn = [*begun, *map(Genome, toolbox.population(n=count))]
    new = {genome.pattern: genome for genome in drawn if genome.pattern not in seeds.losses}
    individuals = tuple(new.values())[:count]
    everyone = Choice(individuals, np.zeros(len(individuals)))
    judged = judge(toolbox, individuals, everyone)
    judged = replace(judged, cost=seeds.cost + judged.cost, work=seeds.work + judged.work)
    population = survive((*known, *individuals), settings.population)
    evaluations = len(known) + seeds.beside + len(individuals)
    return EvolutionState(
        generation=0,
        population=population,
        losses={**seeds.losses, **judged.losses},
        records=(record_of(0, population, judged, evaluations=evaluations, cost=judged.cost),),
        cost=judged.cost,
        cache_hits=judged.hits,
        seconds=0.0,
        best_since=0,
        rng_state=rng.getstate(),
        beside=seeds.beside,
        picks=seeds.picks,
    )


def _next_generation(
    state: EvolutionState,
    preference: Preference,
    toolbox: base.Toolbox,
    rng: random.Random,
    settings: EvolutionSettings,
) -> EvolutionState:
    children = preference.chosen
    everyone = Choice(children, np.zeros(len(children)))
    choose = getattr(toolbox, "choose", None)
    judged = judge(toolbox, children, choose(children, state.population) if choose else everyone)
    generation, cost = state.generation + 1, state.cost + judged.cost
    evaluated = [child for child in children if child.pattern in judged.losses]
    population = survive((*state.population, *evaluated), settings.population)
    evaluations = state.evaluations + len(children)
    record = {
        **record_of(generation, population, judged, evaluations=evaluations, cost=cost),
        **foresight_of(preference, judged.losses),
    }
    return replace(
        state,
        generation=generation,
        population=population,
        losses={**state.losses, **judged.losses},
        lost=(*state.lost, *judged.lost),
        records=(*state.records, record),
        cost=cost,
        cache_hits=state.cache_hits + judged.hits,
        best_since=generation if population[0].loss < state.best.loss else state.best_since,
        rng_state=rng.getstate(),
    )
