"""Optuna's CMA-ES with margin (Hamano et al. 2022, arXiv 2205.13482) on bits.

The margin keeps a least probability of flipping each bit, without which a Gaussian over whole
numbers freezes. How bits are kept within the budget is said in `optuna_bits`.
"""

from __future__ import annotations

import math

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.optuna_bits import drive_bits
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """The best pattern of the study, a generation judged at once."""
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
