"""A pattern drawn uniformly: what any rule has to beat."""

from __future__ import annotations

from evop_deap.evolution.operators import init_uniform
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """One draw, which costs nothing."""
    return Pick(init_uniform(task.space, rng=task.rng).pattern)
