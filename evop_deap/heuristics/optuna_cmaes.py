"""Optuna's CMA-ES with margin (Hamano et al. 2022, arXiv 2205.13482) on bits.

The margin keeps a minimum probability of flipping each bit; without it, a Gaussian over integers
gets stuck. `optuna_bits` explains how bits are repaired to fit the budget.
"""

from __future__ import annotations

import math

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.optuna_bits import drive_bits
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """Pick the best pattern of the study; a generation is evaluated at once."""
    from optuna.samplers import CmaEsSampler

    size = 4 + math.floor(3 * math.log(len(task.space.droppable)))  # CMA-ES's usual population
    seed = task.rng.randrange(2**31)
    return drive_bits(
        task,
        lambda: CmaEsSampler(
            with_margin=True, popsize=size, seed=seed, warn_independent_sampling=False
        ),
        at_once=size,
    )


HEURISTIC = Heuristic("cmaes", "Optuna's CMA-ES with margin", pick, searches=True)
