"""Leave-one-out perplexity (Kim et al. 2024, Shortened LLaMA, arXiv 2402.02834, "PPL").

Every unit is removed alone, and the units whose removal raises the calibration loss least are
dropped. Interactions between units are ignored. In one evaluation, patterns that drop a single
unit share the blocks before it, so each costs about half a pass.
"""

from __future__ import annotations

from evop_deap.fitness.meter import Meter
from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task, lowest


def pick(task: Task) -> Pick:
    """Drop the units with the lowest loss when removed alone; `scores` are these losses."""
    meter, units = Meter(task.evaluator), task.space.droppable
    losses = meter.evaluate([task.space.pattern([unit]) for unit in units]).losses.tolist()
    scores = [float("inf")] * len(task.space.units)
    for unit, loss in zip(units, losses, strict=True):
        scores[unit] = loss
    return lowest(task, scores, cost=meter.cost, evaluations=meter.evaluations, work=meter.work)


HEURISTIC = Heuristic("leave-one-out", "leave-one-out perplexity", pick, cheap=True)
