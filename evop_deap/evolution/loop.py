"""EPPS, the evolutionary search for a pruning pattern (EvoP, arXiv 2502.14910), on DEAP's toolbox.

A (μ + λ) evolution in which no pattern is evaluated twice. It does not depend on a model; its
replaceable parts are `Strategies`. Each generation maps one plain state to the next, so a stored
state continues exactly.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from deap import base

from evop_deap.evolution.callbacks import Callback, after_generation, at_limit
from evop_deap.evolution.generation import Generation, evaluate_by_map, evaluate_generation
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.logbook import foresight_of, record_of
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.proposals import draw_unseen
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import PLAIN, Breed, Choice, Preference, Seeds, Strategies
from evop_deap.evolution.survival import Survival
from evop_deap.space import Pattern


def evolve(
    toolbox: base.Toolbox,
    rng: random.Random,
    *,
    settings: EvolutionSettings,
    stopping: Stopping,
    strategies: Strategies = PLAIN,
    state: EvolutionState | None = None,
    callbacks: Sequence[Callback] = (),
) -> EvolutionState:
    """Search until a limit of `stopping` or a callback ends it.

    Args:
        toolbox: `population(n=…)`, `mate`, `mutate` and `select` as DEAP registers them, and
            `evaluate` and `map` unless `strategies.evaluate` is given.
        rng: the generator that the toolbox's operators are bound to.
        settings: sizes and rates.
        stopping: limits of the search.
        strategies: the replaceable parts of the loop.
        state: the state to continue from; without it the search starts with a first population.
        callbacks: called in this order after each generation, including the first.

    Returns:
        The last state; its `stopped` gives the reason for the end.
    """
    began = time.monotonic() - (state.seconds if state else 0.0)
    evaluate = strategies.evaluate or partial(evaluate_by_map, toolbox)

    def propose(parents: Sequence[Genome], known: Collection[Pattern], count: int) -> list[Genome]:
        return strategies.propose(parents, known, count, toolbox, rng, settings)

    def step(state: EvolutionState, preference: Preference, choice: Choice) -> EvolutionState:
        generation = evaluate_generation(evaluate, preference.chosen, choice)
        state = _advanced(state, preference, generation, strategies.survival, settings.population)
        state = replace(state, rng_state=rng.getstate())
        return after_generation(state, stopping, callbacks, began=began)

    if state is None:
        seeds = strategies.begin()
        beginners = _beginners(seeds, settings, stopping, toolbox)
        state = step(_begun(seeds), Preference(beginners), Choice.of_all(beginners, seeds.work))
    else:
        rng.setstate(state.rng_state)
        state = at_limit(state, stopping)
    while state.stopped is None:
        count = stopping.evaluations_left(state.evaluations, settings.offspring)
        wanted = count * settings.proposals if strategies.prefer else count
        seen = {*state.losses, *state.eliminated}
        breed = Breed(seen, propose)
        anew = state.stagnates(settings.restart)
        proposals = draw_unseen(seen, wanted, toolbox) if anew else []
        proposals = proposals or breed.children(state.population, wanted)
        # When nearly all patterns were seen, a large draw may hold one that single draws missed.
        proposals = proposals or draw_unseen(seen, wanted, toolbox)
        if not proposals:
            return replace(state, stopped="every pattern within reach was evaluated")
        if anew:
            state = replace(state, population=state.population[:1], restarted=state.generation + 1)
        preference = Preference(tuple(proposals[:count]))
        if strategies.prefer:
            preference = strategies.prefer(proposals, count, breed)
        choice = Choice.of_all(preference.chosen)
        if strategies.choose:
            choice = strategies.choose(preference.chosen, state.population)
        state = step(state, preference, choice)
    return state


def _begun(seeds: Seeds) -> EvolutionState:
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


def _beginners(
    seeds: Seeds, settings: EvolutionSettings, stopping: Stopping, toolbox: base.Toolbox
) -> tuple[Genome, ...]:
    """Return the first population without the patterns of `seeds` whose losses are known."""
    begun = [Genome(pattern) for pattern in seeds.patterns if pattern not in seeds.losses]
    wanted = max(settings.population, len(begun))  # the picks of all heuristics are included
    count = stopping.evaluations_left(len(seeds.losses) + seeds.other_evaluations, wanted)
    drawn = [*begun, *map(Genome, toolbox.population(n=count))]
    new = {genome.pattern: genome for genome in drawn if genome.pattern not in seeds.losses}
    return tuple(new.values())[:count]


def _advanced(
    before: EvolutionState,
    preference: Preference,
    generation: Generation,
    survival: Survival,
    size: int,
) -> EvolutionState:
    """Return the state after another generation; `size` individuals survive."""
    number, cost = before.generation + 1, before.cost + generation.cost
    evaluated = [child for child in preference.chosen if child.pattern in generation.losses]
    population = survival.survivors((*before.population, *evaluated), size)
    losses = {**before.losses, **generation.losses}
    evaluations = before.evaluations + len(preference.chosen)
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
