"""The parts of a generation: the first patterns, the proposals chosen, the state that comes after.

`evolve` and `evolve_asynchronously` share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from deap import base

from evop_deap.evolution.generation import Generation
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.logbook import foresight_of, record_of
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.proposals import draw_unseen
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import Breed, Preference, Seeds, Strategies
from evop_deap.evolution.survival import Survival


def before_the_first(seeds: Seeds) -> EvolutionState:
    """Return the state before the first generation."""
    return EvolutionState(
        generation=-1,
        population=tuple(Genome(pattern, loss=loss) for pattern, loss in seeds.losses.items()),
        losses=seeds.losses,
        records=(),
        cost=seeds.cost,
        cache_hits=0,
        seconds=0.0,
        best_since=0,
        rng_state=(),
        other_evaluations=seeds.other_evaluations,
        picks=seeds.picks,
    )


def beginners(
    seeds: Seeds,
    settings: EvolutionSettings,
    stopping: Stopping,
    toolbox: base.Toolbox,
    *,
    least: int = 0,
) -> tuple[Genome, ...]:
    """Return the first patterns: those of `seeds` whose losses are not known, then others.

    There are as many as individuals survive, and at least `least` and those of all heuristics, but
    for the limit of evaluations.
    """
    begun = list(map(Genome, seeds.unknown))
    wanted = max(settings.population, len(begun), least)
    count = stopping.evaluations_left(len(seeds.losses) + seeds.other_evaluations, wanted)
    drawn = [*begun, *map(Genome, toolbox.population(n=count))]
    new = {genome.pattern: genome for genome in drawn if genome.pattern not in seeds.losses}
    return tuple(new.values())[:count]


def preferred(
    parents: Sequence[Genome],
    count: int,
    breed: Breed,
    toolbox: base.Toolbox,
    settings: EvolutionSettings,
    strategies: Strategies,
    *,
    anew: bool = False,
    least: int = 0,
) -> Preference:
    """Return the proposals to evaluate, up to `count`; none if every pattern within reach was seen.

    Args:
        parents: individuals to breed from.
        count: number of proposals to choose.
        breed: breeds, and says what was seen.
        toolbox: draws patterns.
        settings: says how many are proposed for each one chosen.
        strategies: chooses among them.
        anew: draw patterns instead of breeding, if there are any.
        least: propose as if at least so many were chosen.
    """
    wanted = max(count, least) * settings.proposals if strategies.prefer else count
    proposals = draw_unseen(breed.seen, wanted, toolbox) if anew else []
    proposals = proposals or breed.children(parents, wanted)
    # When nearly all patterns were seen, a large draw may hold one that single draws missed.
    proposals = proposals or draw_unseen(breed.seen, wanted, toolbox)
    if proposals and strategies.prefer:
        return strategies.prefer(proposals, count, breed)
    return Preference(tuple(proposals[:count]))


def succeeded(
    before: EvolutionState,
    children: Sequence[Genome],
    preference: Preference,
    generation: Generation,
    survival: Survival,
    size: int,
) -> EvolutionState:
    """Return the state after another generation.

    Args:
        before: the state before it.
        children: all that were evaluated, on all windows or some.
        preference: those that were foreseen, and how.
        generation: what was found.
        survival: selects the survivors.
        size: number of individuals that survive.
    """
    number, cost = before.generation + 1, before.cost + generation.cost
    evaluated = [child for child in children if child.pattern in generation.losses]
    population = survival.survivors((*before.population, *evaluated), size)
    losses = {**before.losses, **generation.losses}
    evaluations = before.evaluations + len(children)
    record = {
        **record_of(number, population, generation, evaluations=evaluations, cost=cost),
        **foresight_of(preference, generation.losses),
        **survival.columns(losses, before.records),
    }
    after = replace(
        before,
        generation=number,
        population=population,
        losses=losses,
        eliminated=(*before.eliminated, *generation.eliminated),
        records=(*before.records, record),
        cost=cost,
        cache_hits=before.cache_hits + generation.hits,
    )
    better = number == 0 or survival.improved(before, after)
    return replace(after, best_since=number) if better else after
