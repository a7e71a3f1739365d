"""The search stage: an evolution assembled from settings, or a heuristic."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

from evop_deap.base.user_folders import SCORES, cache_folder
from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import Seeds
from evop_deap.fitness.in_flight import InFlight
from evop_deap.heuristics.kept_scores import KeptScores
from evop_deap.runs.context import Context
from evop_deap.runs.stages.ask_heuristic import ask_heuristic
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.seed import find_seeds
from evop_deap.runs.stages.time_left import cost_after, seconds_left
from evop_deap.runs.storage.checkpoint import Checkpoint
from evop_deap.runs.storage.heuristic_state import HeuristicState
from evop_deap.settings.heuristic_names import BALANCED, SEARCH
from evop_deap.space import SearchSpace


def search_patterns(
    context: Context,
    stored: Checkpoint | None,
    record: Callable[[EvolutionState | HeuristicState], object],
    smaller: Found | None = None,
) -> Found:
    """Run or resume the evolution, or run the heuristic that `method` names.

    Args:
        context: the run.
        stored: checkpoint of an earlier process, or None.
        record: called with the state after each generation.
        smaller: outcome at the next smaller budget; its best patterns are grown into seeds.
    """
    config, space, progress = context.config, context.space, context.progress
    stopping, settings = config.stopping, config.evolution
    if config.method != SEARCH:
        if stopping.evaluations is stopping.cost is stopping.seconds is None:
            # As many patterns as the search would evaluate.
            most = expected_evaluations(settings, stopping, space)
            stopping = dataclasses.replace(stopping, evaluations=most)
        return ask_heuristic(context, stopping, stored, record)
    begin: Callable[[], Seeds] = Seeds
    place = cache_folder() / SCORES if config.cache else None
    kept = KeptScores(context.model_parts, context.fingerprint, place)
    if config.init != (BALANCED,) or smaller is not None:
        begin = partial(find_seeds, context, stopping, kept, smaller)
    cached, background = context.evaluator.cached, context.evaluator.background
    search = assemble(
        space,
        cached,
        context.rng,
        settings,
        together=context.together,
        begin=begin,
        flight=None if background is None else InFlight(cached, background),
    )
    state = stored.evolution if stored else None
    progress.searching(
        state.evaluations if state else 0, expected_evaluations(settings, stopping, space)
    )
    after = cost_after(context)

    def tell_time(state: EvolutionState) -> None:
        progress.time_left(seconds_left(state, stopping, after))

    told = (record, lambda state: kept.release(), tell_time, progress.generation)
    state = search.run(stopping, state, callbacks=told)
    progress.close()
    return Found.of_evolution(state)


def expected_evaluations(
    settings: EvolutionSettings, stopping: Stopping, space: SearchSpace
) -> int | None:
    """Return how many patterns a search will evaluate; None where only time or cost limits it.

    The first generation is assumed to be no larger than the population.
    """
    limits = [space.size]
    if stopping.generations is not None:
        limits.append(settings.population + stopping.generations * settings.offspring)
    if stopping.evaluations is not None:
        limits.append(stopping.evaluations)
    return min(limits) if len(limits) > 1 or space.size < 10_000 else None
