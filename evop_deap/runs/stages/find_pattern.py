"""The pattern itself: the evolution assembled from settings, or a heuristic in its place."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from evop_deap.evolution.callbacks import Callback
from evop_deap.settings.search_config import BALANCED, SEARCH, SearchConfig
from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.racing import windows_together
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.strategies import Seeds
from evop_deap.runs.stages.ask_heuristic import pick_pattern
from evop_deap.runs.storage.checkpoint import Checkpoint
from evop_deap.runs.search_evaluator import Judge
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.first_patterns_of_run import find_seeds
from evop_deap.runs.stages.prepare import Subject
from evop_deap.space import SearchSpace
from evop_deap.evolution.stopping import Stopping

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def find_pattern(
    config: SearchConfig,
    subject: Subject,
    judge: Judge,
    stored: Checkpoint | None,
    progress: Progress,
    record: Callback,
    smaller: EvolutionState | None = None,
) -> tuple[EvolutionState, PreTrainedModel | None]:
    """Evolve from the beginning, or from where `stored` ends; or let a heuristic pick.

    The model that comes back is what a rule that merges blocks has made of them.

    Args:
        config: the effective settings.
        subject: what a pattern is wanted for.
        judge: the evaluator.
        stored: where an interrupted run of the same ended.
        progress: told what is going on.
        record: called with the state after each generation.
        smaller: the end of the search at the next smaller budget, whose patterns this one grows.
    """
    stopping, settings = config.stopping, config.evolution
    if config.method != SEARCH:
        if stopping.evaluations is stopping.cost is stopping.seconds is None:
            # As many patterns as the search would judge.
            most = expected_evaluations(settings, stopping, subject.space)
            stopping = dataclasses.replace(stopping, evaluations=most)
        return pick_pattern(config, subject, judge, stopping, stored, progress, record)
    begin: Callable[[], Seeds] = Seeds
    if config.init != (BALANCED,) or smaller is not None:
        begin = partial(find_seeds, config, subject, judge, stopping, progress, smaller)
    search = assemble(
        subject.space,
        judge.evaluator,
        random.Random(config.seed),
        settings,
        together=windows_together(config.window),
        begin=begin,
    )
    state = stored.state if stored else None
    progress.searching(
        state.evaluations if state else 0,
        expected_evaluations(settings, stopping, subject.space),
    )
    state = search.run(stopping, state, callbacks=(record, progress.generation))
    progress.close()
    return state, None


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
