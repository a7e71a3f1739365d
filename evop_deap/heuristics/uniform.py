"""A uniformly random pattern: the baseline of every heuristic."""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """Draw one pattern, at no cost."""
    return Pick(task.space.random_pattern(task.rng))


HEURISTIC = Heuristic("random", "a uniform draw", pick)
