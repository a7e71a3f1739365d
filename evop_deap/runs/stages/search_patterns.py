"""The search stage: the evolution assembled from settings, or a heuristic in its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from evop_deap.evolution.loop import evolve
from evop_deap.evolution.racing import Racing, race, windows_together
from evop_deap.evolution.state import EvolutionSettings, EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.runs.context import Context
from evop_deap.runs.stages.ask_heuristic import ask_heuristic
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.seed import find_seeds
from evop_deap.runs.storage.checkpoint import Checkpoint
from evop_deap.runs.storage.heuristic_state import HeuristicState
from evop_deap.settings.search_config import BALANCED, SEARCH, SearchConfig
from evop_deap.space import SearchSpace
from evop_deap.surrogate.preference import register_surrogate, surrogate_of


def search_patterns(
    context: Context,
    stored: Checkpoint | None,
    record: Callable[[EvolutionState | HeuristicState], object],
    smaller: Found | None = None,
) -> Found:
    """Evolve from the beginning, or from where an earlier process ended; or ask a heuristic.

    Args:
        context: the run.
        stored: where an earlier process ended.
        record: called with the state after each generation.
        smaller: the end of the search at the next smaller budget, whose patterns this one grows.
    """
    config, space = context.config, context.space
    stopping = stopping_of(config)
    settings = EvolutionSettings(
        population=config.population,
        offspring=config.offspring,
        crossover=config.crossover,
        mutation=config.mutation,
        restart=config.restart,
    )
    if config.method != SEARCH:
        if stopping.evaluations is stopping.cost is stopping.seconds is None:
            # As many patterns as the search would evaluate.
            most = expected_evaluations(settings, stopping, space)
            stopping = dataclasses.replace(stopping, evaluations=most)
        return ask_heuristic(context, stopping, stored, record)
    rng, evaluator = context.rng, context.evaluator.cached
    toolbox = make_toolbox(
        space,
        evaluator,
        rng,
        tournament=config.tournament,
        neighbour=config.neighbour,
        more_swaps=config.more_swaps,
    )
    if config.racing == "on":
        racing = Racing.over(
            len(evaluator.tokens),
            together=windows_together(config.window),
            rungs=config.racing_rungs,
            confidence=config.racing_confidence,
        )
        size = config.population
        toolbox.register("choose", race, evaluator=evaluator, racing=racing, size=size)
    if (surrogate := surrogate_of(config.surrogate)) is not None:
        register_surrogate(toolbox, surrogate, evaluator, space, rng)
    if config.init != (BALANCED,) or smaller is not None:
        toolbox.register("seed", find_seeds, context, stopping, smaller)
    state = stored.evolution if stored else None
    context.progress.searching(
        state.evaluations if state else 0, expected_evaluations(settings, stopping, space)
    )
    state = evolve(
        toolbox,
        rng,
        settings=settings,
        stopping=stopping,
        state=state,
        callbacks=(record, context.progress.generation),
    )
    context.progress.close()
    return Found.of_evolution(state)


def stopping_of(config: SearchConfig) -> Stopping:
    """When a search with these settings ends."""
    return Stopping(
        generations=config.generations,
        evaluations=config.max_evaluations,
        cost=config.max_cost,
        seconds=config.max_seconds,
        patience=config.patience,
    )


def expected_evaluations(
    settings: EvolutionSettings, stopping: Stopping, space: SearchSpace
) -> int | None:
    """How many patterns a search will evaluate; None where only time ends it.

    What it begins with is not known yet, and taken for no more than its population.
    """
    limits = [space.size]
    if stopping.generations is not None:
        limits.append(settings.population + stopping.generations * settings.offspring)
    if stopping.evaluations is not None:
        limits.append(stopping.evaluations)
    return min(limits) if len(limits) > 1 or space.size < 10_000 else None
