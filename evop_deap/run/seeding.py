"""The patterns that heuristics pick for the first generation of a search, and their cost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from evop_deap.config import BALANCED, HEURISTICS, SearchConfig
from evop_deap.errors import InputError
from evop_deap.evolution_state import EvolutionState, Seeds
from evop_deap.fitness.evaluation import Evaluation, Work
from evop_deap.growing import grow
from evop_deap.heuristics.meter import Meter
from evop_deap.heuristics.registry import METHODS, Method
from evop_deap.heuristics.task import ModelParts, Task
from evop_deap.heuristics.units import granularity_of
from evop_deap.run.judge import Judge
from evop_deap.run.progress import Progress
from evop_deap.run.subject import Subject
from evop_deap.space import Pattern, SearchSpace
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
        return Seeds(grown)
    parts = ModelParts(subject.loaded.model, subject.anatomy, subject.text.calibration.tokens)
    methods = seeding_methods(config.init, subject.space)
    for method in methods:
        progress.stage(f"seeding the search by {method.title}")
    task = Task(subject.space, judge.evaluator, random.Random(config.seed), stopping, parts)
    seeds = seeds_of(methods, task)
    return replace(seeds, patterns=tuple(dict.fromkeys((*seeds.patterns, *grown))))


def seeding_methods(names: tuple[str, ...], space: SearchSpace) -> list[Method]:
    """The heuristics of these names; of "heuristics", all cheap ones for units of this kind."""
    if names != (HEURISTICS,):
        return [METHODS[name] for name in names]
    found = granularity_of(space.units)
    return [method for method in METHODS.values() if method.cheap and found in method.granularities]


def seeds_of(methods: list[Method], task: Task) -> Seeds:
    """The patterns that these methods pick, no two alike, and what all of them cost together.

    Raises:
        InputError: they judge as many patterns as the whole search may, or more.
    """
    meter = _Purse(task)
    patterns: dict[Pattern, None] = {}
    cost, work = 0.0, Work()
    for method in methods:
        picked = method(Task(task.space, meter, task.rng, task.stopping, task.parts))
        patterns[picked.pattern] = None
        cost, work = cost + picked.cost, work + picked.work
    return Seeds(
        patterns=tuple(patterns),
        losses=dict(meter.losses),
        beside=meter.evaluations - len(meter.losses),
        cost=cost,
        work=work,
    )


class _Purse(Meter):
    """Refuses, before it is paid for, what leaves nothing for the search."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._most = task.stopping.evaluations

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        wanted = len({*self.asked, *patterns})
        if self._most is not None and wanted >= self._most:
            raise InputError(
                f"`init` judges {wanted} patterns, but `max_evaluations` is {self._most}: "
                "raise it, or begin with --init balanced"
            )
        return super().evaluate(patterns, windows)
