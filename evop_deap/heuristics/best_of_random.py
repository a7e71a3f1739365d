"""The best of as many uniform draws as the limits allow: what any search has to beat.

Given what another method has cost as its limit, it says what that cost buys without a method.
"""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.limited_meter import LimitedMeter
from evop_deap.heuristics.task import Pick, Task

_TOGETHER = 16  # patterns judged at once, so that they share the prefixes that they keep
_MISSES = 1000  # draws of so many known patterns in a row end it


def pick(task: Task) -> Pick:
    """Draw, judge and keep the best, until a limit is reached or nothing new is drawn."""
    from evop_deap.evolution.operators import init_distinct, init_uniform

    meter, misses = LimitedMeter(task), 0
    while (left := meter.left) and misses < _MISSES:
        drawn = init_distinct(lambda: init_uniform(task.space, rng=task.rng), min(_TOGETHER, left))
        new = [genome.pattern for genome in drawn if genome.pattern not in meter.losses]
        misses = 0 if new else misses + 1
        if new:
            meter.evaluate(new)
    return meter.pick_best()


HEURISTIC = Heuristic("random-best", "the best of random draws", pick, searches=True)
