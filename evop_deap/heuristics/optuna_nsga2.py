"""Optuna's NSGA-II (Deb et al. 2002) with a single objective: a genetic algorithm on bits.

`optuna_bits` explains how bits are repaired to fit the budget. With one objective, non-dominated
sorting is sorting by loss. The population is 16, because Optuna's default of 50 would be most of
a usual number of evaluations.
"""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.optuna_bits import drive_bits
from evop_deap.heuristics.task import Pick, Task

_POPULATION = 16


def pick(task: Task) -> Pick:
    """Pick the best pattern of the study; a generation is evaluated at once."""
    from optuna.samplers import NSGAIISampler

    seed = task.rng.randrange(2**31)
    return drive_bits(
        task,
        lambda: NSGAIISampler(population_size=_POPULATION, seed=seed),
        at_once=_POPULATION,
    )


HEURISTIC = Heuristic("nsga2", "Optuna's NSGA-II", pick, searches=True)
