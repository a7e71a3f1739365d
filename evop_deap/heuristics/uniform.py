"""A pattern drawn uniformly: what any rule has to beat."""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """One draw, which costs nothing."""
    return Pick(task.space.random_pattern(task.rng))


HEURISTIC = Heuristic("random", "a uniform draw", pick)
