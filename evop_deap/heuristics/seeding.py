"""The patterns that heuristics pick for the first generation of a search, and their cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evop_deap.config import HEURISTICS
from evop_deap.errors import InputError
from evop_deap.evolution_state import Seeds
from evop_deap.fitness.evaluation import Evaluation, Work
from evop_deap.heuristics.meter import Meter
from evop_deap.heuristics.registry import LOOKS, METHODS, Method
from evop_deap.heuristics.task import Look, Pick, Task
from evop_deap.heuristics.units import granularity_of
from evop_deap.heuristics.whole_blocks import pick_blocks
from evop_deap.space import Pattern, SearchSpace


def looks_of(task: Task) -> dict[str, Look]:
    """What each rule of `LOOKS` says of the task's model."""
    picks = {name: METHODS[name](task) for name in LOOKS}
    return {name: Look(pick.scores or (), pick.cost) for name, pick in picks.items()}


def seeding_methods(names: tuple[str, ...], space: SearchSpace) -> list[Method]:
    """The heuristics of these names; of "heuristics", all cheap ones for units of this kind."""
    if names != (HEURISTICS,):
        return [METHODS[name] for name in names]
    found = granularity_of(space.units)
    return [method for method in METHODS.values() if method.cheap and found in method.granularities]


def seeds_of(methods: list[Method], task: Task) -> Seeds:
    """The patterns that these methods pick, and what all of them cost together.

    Raises:
        InputError: they judge as many patterns as the whole search may, or more.
    """
    meter = _Purse(task)
    picks: dict[str, Pattern] = {}
    cost, work = 0.0, Work()
    for method in methods:
        picked = _picked(method, replace(task, evaluator=meter))
        picks[method.name] = picked.pattern
        cost, work = cost + picked.cost, work + picked.work
    return Seeds(
        picks=picks,
        losses=dict(meter.losses),
        beside=meter.evaluations - len(meter.losses),
        cost=cost,
        work=work,
    )


def _picked(method: Method, task: Task) -> Pick:
    """What the rule picks; of halves, where it is one of `LOOKS`, the whole blocks it would."""
    if method.name in LOOKS and task.parts is not None and task.space.blocks:
        return pick_blocks(method, task)
    return method(task)


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
