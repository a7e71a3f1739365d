"""Search methods with one interface: each evaluates patterns up to a limit.

The results are read from the evaluator, which records patterns in the order of their first
evaluation; repeated evaluations cost nothing. Published heuristics are in `evop_deap.heuristics`.
This module has variants of the default search, and EvoPress without its multi-step selection.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.strategies import Seeds
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.meter import Meter
from evop_deap.heuristics import METHODS as HEURISTICS
from evop_deap.heuristics import Task
from evop_deap.heuristics.evopress import level_switch
from evop_deap.heuristics.first_patterns import seeding_methods, seeds_of
from evop_deap.heuristics.optuna_bits import drive_bits
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import SearchSpace
from evop_deap.tuning.settings_space import RANGES

Method = Callable[[Task], object]
"""Evaluates as many different patterns as the task's limit allows, or all."""


class ScoringCost(float):
    """Dense forward passes in which heuristics scored the model, not counted by the evaluator."""


DEFAULTS = SearchConfig(model="demo", sparsity=(0.1,))


def gp_sampler(task: Task) -> None:
    """Optuna's Gaussian-process sampler on bits, like its other samplers."""
    from optuna.samplers import GPSampler

    drive_bits(task, lambda: GPSampler(seed=task.rng.randrange(2**32)), at_once=1)


def evopress_like(task: Task) -> None:
    """A (1 + 16) evolution with EvoPress's level switches as the only mutation.

    Every child is evaluated on all windows, and none twice.
    """
    assert isinstance(task.evaluator, CachedEvaluator)
    settings = EvolutionSettings(
        population=1, offspring=16, crossover=0.0, tournament=1, surrogate="none", racing="off"
    )
    search = assemble(task.space, task.evaluator, task.rng, settings)
    search.toolbox.register("mutate", level_switch, rng=task.rng, space=task.space)
    search.run(task.stopping)


def evolution(
    task: Task,
    *,
    surrogate: str = "none",
    racing: str = "off",
    init: tuple[str, ...] = (),
) -> ScoringCost:
    """The default search, except for the arguments."""
    assert isinstance(task.evaluator, CachedEvaluator)
    meter = Meter(task.evaluator, space=task.space)
    seeds = first_patterns(replace(task, evaluator=meter), init)
    settings = replace(DEFAULTS.evolution, surrogate=surrogate, racing=racing)
    search = assemble(task.space, task.evaluator, task.rng, settings, begin=lambda: seeds)
    search.run(task.stopping)
    return ScoringCost(seeds.cost - meter.cost)


def first_patterns(task: Task, init: tuple[str, ...] = DEFAULTS.init) -> Seeds:
    """The patterns that a search of a task begins with."""
    return seeds_of(seeding_methods(init, task.space), task) if init else Seeds()


TABULAR: dict[str, Method] = {
    "random": HEURISTICS["random-best"],
    "evopress-like": evopress_like,
    "plain": evolution,
    "tpe": HEURISTICS["tpe"],
    "nsga2": HEURISTICS["nsga2"],
    "cmaes": HEURISTICS["cmaes"],
    "gp-sampler": gp_sampler,
    "linear": partial(evolution, surrogate="linear"),
    "surrogate": partial(evolution, surrogate="gp"),
    "seeded": partial(evolution, surrogate="gp", init=DEFAULTS.init),
    "seeded by leave-one-out": partial(evolution, surrogate="gp", init=("leave-one-out",)),
    "seeded by sleb": partial(evolution, surrogate="gp", init=("sleb",)),
}
"""Methods that evaluate every pattern on all windows."""

METHODS: dict[str, Method] = {
    "seeded, racing": partial(evolution, surrogate="gp", racing="on", init=DEFAULTS.init),
    "surrogate, racing": partial(evolution, surrogate="gp", racing="on"),
    "plain, racing": partial(evolution, racing="on"),
    "greedy": HEURISTICS["sleb"],
    "evopress": HEURISTICS["evopress"],
    **TABULAR,
}
"""All methods; "seeded, racing" is the default search."""


def settings_of(name: str) -> dict[str, Any]:
    """The settings of the search, if the method is one of its variants."""
    method = TABULAR[name]
    if getattr(method, "func", method) is not evolution:
        return {}
    settings = DEFAULTS.as_dict()
    return {setting: settings[setting] for setting in RANGES}


def trace(evaluator: CachedEvaluator, space: SearchSpace) -> list[float]:
    """Losses of all patterns but the dense one, in the order of evaluation.

    Patterns outside `space` count as infinite: they cost an evaluation but are not valid results.
    """
    asked = [pattern for pattern in evaluator.rows if pattern != space.dense]
    losses = evaluator.evaluate(asked).losses.tolist()
    return [
        loss if pattern in space else math.inf for pattern, loss in zip(asked, losses, strict=True)
    ]
