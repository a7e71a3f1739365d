"""Leave-one-out perplexity (Kim et al. 2024, Shortened LLaMA, arXiv 2402.02834, "PPL").

Every unit is dropped alone, and those go whose absence raises the calibration loss least. It
knows nothing of how units act together. Evaluated together, patterns that drop a single unit
share all that they keep before it: about half a pass a unit.
"""

from __future__ import annotations

from evop_deap.fitness.meter import Meter
from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task, lowest


def pick(task: Task) -> Pick:
    """Drop the units whose loss alone is lowest; `scores` are these losses."""
    meter, units = Meter(task.evaluator), task.space.droppable
    losses = meter.evaluate([task.space.pattern([unit]) for unit in units]).losses.tolist()
    scores = [float("inf")] * len(task.space.units)
    for unit, loss in zip(units, losses, strict=True):
        scores[unit] = loss
    return lowest(task, scores, cost=meter.cost, evaluations=meter.evaluations, work=meter.work)


HEURISTIC = Heuristic("leave-one-out", "leave-one-out perplexity", pick, cheap=True)
