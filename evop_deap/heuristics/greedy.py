"""Greedy removal, one unit at a time, as in SLEB and BlockPruner."""

from __future__ import annotations

from evop_deap.fitness.meter import Meter
from evop_deap.heuristics.task import Pick, Task


def remove_greedily(task: Task) -> Pick:
    """In each step, evaluate each remaining unit's removal and drop the one of lowest loss.

    Ties go to the first unit.
    """
    space, meter = task.space, Meter(task.evaluator)
    dropped: list[int] = []
    path = [space.pattern(dropped)]
    while path[-1] not in space:
        left = [u for u in space.droppable if u not in dropped and space.fits(dropped, u)]
        losses = meter.evaluate([space.pattern([*dropped, unit]) for unit in left]).losses
        dropped.append(left[int(losses.argmin())])
        path.append(space.pattern(dropped))
    return Pick(
        path[-1],
        cost=meter.cost,
        evaluations=meter.evaluations,
        work=meter.work,
        order=tuple(dropped),
        path=tuple(path[1:]),
    )
