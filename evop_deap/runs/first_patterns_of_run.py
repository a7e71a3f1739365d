"""A search's seeds, picked with its own model, text and evaluator."""

from __future__ import annotations

import random
from dataclasses import replace

from evop_deap.settings.search_config import BALANCED, SearchConfig
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.strategies import Seeds
from evop_deap.evolution.grown_patterns import grow
from evop_deap.heuristics.first_patterns import seeding_methods, seeds_of
from evop_deap.heuristics.task import ModelParts, Task
from evop_deap.runs.search_evaluator import Judge
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.stages.prepare import Subject
from evop_deap.evolution.stopping import Stopping


def find_seeds(
    config: SearchConfig,
    subject: Subject,
    judge: Judge,
    stopping: Stopping,
    progress: Progress,
    smaller: EvolutionState | None = None,
) -> Seeds:
    """What the heuristics of `config.init` pick, and what grows of a smaller budget's patterns.

    Losses that heuristics ask for are remembered, and the surrogate learns from them.
    """
    grown = () if smaller is None else grow(smaller.losses, subject.space)
    if config.init == (BALANCED,):
        return Seeds(grown=grown)
    parts = ModelParts(subject.loaded.model, subject.anatomy, subject.text.calibration.tokens)
    methods = seeding_methods(config.init, subject.space)
    for method in methods:
        progress.stage(f"seeding the search by {method.title}")
    task = Task(subject.space, judge.evaluator, random.Random(config.seed), stopping, parts)
    return replace(seeds_of(methods, task), grown=grown)
