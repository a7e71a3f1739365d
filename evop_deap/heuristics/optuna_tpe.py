"""Optuna's tree-structured Parzen estimator (Bergstra et al. 2011; Optuna's default) on bits.

How bits are kept within the budget is said in `optuna_bits`.
"""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.optuna_bits import drive_bits
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """The best pattern of the study; each trial learns from all before it."""
    from optuna.samplers import TPESampler

    seed = task.rng.randrange(2**31)
    return drive_bits(task, lambda: TPESampler(seed=seed), at_once=1)


HEURISTIC = Heuristic("tpe", "Optuna's TPE", pick, searches=True)
