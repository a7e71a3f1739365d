"""A search's seeds, picked with its own model, text and evaluator."""

from __future__ import annotations

import random

from evop_deap.config import SearchConfig
from evop_deap.evolution_state import Seeds
from evop_deap.heuristics.seeding import seeding_methods, seeds_of
from evop_deap.heuristics.task import ModelParts, Task
from evop_deap.run.judge import Judge
from evop_deap.run.progress import Progress
from evop_deap.run.subject import Subject
from evop_deap.stopping import Stopping


def find_seeds(
    config: SearchConfig, subject: Subject, judge: Judge, stopping: Stopping, progress: Progress
) -> Seeds:
    """What the heuristics of `config.init` pick, judged by the search's own evaluator.

    Losses that they ask for are remembered, and the surrogate learns from them.
    """
    parts = ModelParts(subject.loaded.model, subject.anatomy, subject.text.calibration.tokens)
    methods = seeding_methods(config.init, subject.space)
    for method in methods:
        progress.stage(f"seeding the search by {method.title}")
    task = Task(subject.space, judge.evaluator, random.Random(config.seed), stopping, parts)
    return seeds_of(methods, task)
