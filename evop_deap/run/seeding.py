"""A search's seeds, picked with its own model, text and evaluator."""

from __future__ import annotations

import random
from dataclasses import replace

from evop_deap.config import BALANCED, SearchConfig
from evop_deap.evolution_state import EvolutionState, Seeds
from evop_deap.growing import grow
from evop_deap.heuristics.seeding import seeding_methods, seeds_of
from evop_deap.heuristics.task import ModelParts, Task
from evop_deap.run.judge import Judge
from evop_deap.run.progress import Progress
from evop_deap.run.subject import Subject
from evop_deap.stopping import Stopping


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
