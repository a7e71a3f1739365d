"""The best of as many uniform draws as the limits allow: the baseline of every search.

With the cost of another heuristic as its limit, it is the random search of equal cost.
"""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.limited_meter import LimitedMeter
from evop_deap.heuristics.task import Pick, Task

_TOGETHER = 16  # patterns in one evaluation, which computes their common prefixes once
_MISSES = 1000  # batches in a row without a new pattern that end it


def pick(task: Task) -> Pick:
    """Draw and evaluate patterns until a limit is reached or no new one is drawn; pick the best."""
    from evop_deap.evolution.operators import init_distinct, init_uniform

    meter, misses = LimitedMeter(task), 0
    while (count := meter.affordable(_TOGETHER)) and misses < _MISSES:
        drawn = init_distinct(lambda: init_uniform(task.space, rng=task.rng), count)
        new = [genome.pattern for genome in drawn if genome.pattern not in meter.losses]
        misses = 0 if new else misses + 1
        if new:
            meter.evaluate(new)
    return meter.pick_best()


HEURISTIC = Heuristic("random-best", "the best of random draws", pick, searches=True)
