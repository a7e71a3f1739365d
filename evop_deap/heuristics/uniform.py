"""A pattern drawn uniformly: what any rule has to beat."""

from __future__ import annotations

from evop_deap.heuristics.task import Pick, Task
from evop_deap.operators import init_uniform


def pick(task: Task) -> Pick:
    """One draw, which costs nothing."""
    return Pick(init_uniform(task.space, rng=task.rng).pattern)
