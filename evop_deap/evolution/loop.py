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
from evop_deap.evolution.generation import evaluate_by_map, evaluate_generation
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import EXHAUSTED, Stopping
from evop_deap.evolution.strategies import PLAIN, Breed, Choice, Preference, Strategies
from evop_deap.evolution.succession import before_the_first, beginners, preferred, succeeded
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
        children, survival = preference.chosen, strategies.survival
        generation = evaluate_generation(evaluate, children, choice)
        state = succeeded(state, children, preference, generation, survival, settings.population)
        state = replace(state, rng_state=rng.getstate())
        return after_generation(state, stopping, callbacks, began=began)

    if state is None:
        seeds = strategies.begin()
        first = beginners(seeds, settings, stopping, toolbox)
        state = step(before_the_first(seeds), Preference(first), Choice.of_all(first, seeds.work))
    else:
        rng.setstate(state.rng_state)
        state = at_limit(state, stopping)
    while state.stopped is None:
        count = stopping.evaluations_left(state.evaluations, settings.offspring)
        breed = Breed({*state.losses, *state.eliminated}, propose)
        anew = state.stagnates(settings.restart)
        preference = preferred(
            state.population, count, breed, toolbox, settings, strategies, anew=anew
        )
        if not preference.chosen:
            return replace(state, stopped=EXHAUSTED)
        if anew:
            state = replace(state, population=state.population[:1], restarted=state.generation + 1)
        choice = Choice.of_all(preference.chosen)
        if strategies.choose:
            choice = strategies.choose(preference.chosen, state.population)
        state = step(state, preference, choice)
    return state
