"""Optuna's tree-structured Parzen estimator (Bergstra et al. 2011; Optuna's default) on bits.

`optuna_bits` explains how bits are repaired to fit the budget.
"""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.optuna_bits import drive_bits
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """Pick the best pattern of the study; each trial depends on all before it."""
    from optuna.samplers import TPESampler

    seed = task.rng.randrange(2**31)
    return drive_bits(task, lambda: TPESampler(seed=seed), at_once=1)


HEURISTIC = Heuristic("tpe", "Optuna's TPE", pick, searches=True)
