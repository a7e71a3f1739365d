"""What rules see in the model, all of them in one pass: a figure for every unit."""

from __future__ import annotations

from collections.abc import Iterable

from evop_deap.heuristics.block_influence import turn
from evop_deap.heuristics.observing import mean_by_unit, watching_cost
from evop_deap.heuristics.registry import LOOKS
from evop_deap.heuristics.relative_magnitude import share
from evop_deap.heuristics.task import Look, Task
from evop_deap.heuristics.unit_kinds import granularity_of

_MEASURES = {"block-influence": turn, "relative-magnitude": share}


def looks_of(task: Task, names: Iterable[str] = LOOKS) -> dict[str, Look]:
    """What these rules of `LOOKS` say of the task's model: one pass over its windows for all."""
    halves = granularity_of(task.space.units) == "half"
    measures = {name: _MEASURES[name] for name in names}
    seen = mean_by_unit(task.model_parts, measures, halves=halves)
    cost = watching_cost(task)
    return {name: Look(by_unit, cost) for name, by_unit in seen.items()}
