"""Ways to search for a pattern, under one face: each asks an evaluator for so many patterns.

What a method did is read off the evaluator, which remembers the patterns in the order in which
they were first asked for. Asking again costs nothing. Published rules are those of
`evop_deap.heuristics`; what stands here are variants of the default search, and EvoPress without
its selection in steps.
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
"""Asks the evaluator for as many different patterns as the task's limit allows, or all."""


class Looked(float):
    """Dense forward passes in which the model itself was looked into, unseen by the evaluator."""


DEFAULTS = SearchConfig(model="demo", sparsity=(0.1,))


def gp_sampler(task: Task) -> None:
    """Optuna's Gaussian process, driving the bits as its other samplers do."""
    from optuna.samplers import GPSampler

    drive_bits(task, lambda: GPSampler(seed=task.rng.randrange(2**32)), at_once=1)


def evopress_like(task: Task) -> None:
    """(1 + 16) by EvoPress's level switches alone.

    Every child is judged in full: there are no cheaper looks, and no child is judged twice.
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
) -> Looked:
    """The default search, but for what is said."""
    space, evaluator, rng = task.space, task.evaluator, task.rng
    assert isinstance(evaluator, CachedEvaluator)
    meter, seeds = Meter(evaluator, space=space), Seeds()
    if init:
        seeds = seeds_of(seeding_methods(init, space), replace(task, evaluator=meter))
    settings = replace(DEFAULTS.evolution, surrogate=surrogate, racing=racing)
    assemble(space, evaluator, rng, settings, begin=lambda: seeds).run(task.stopping)
    return Looked(seeds.cost - meter.cost)


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
"""Methods that judge every pattern in full."""

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
    """The search's own settings, where the method is one of its variants."""
    method = TABULAR[name]
    if getattr(method, "func", method) is not evolution:
        return {}
    settings = DEFAULTS.as_dict()
    return {setting: settings[setting] for setting in RANGES}


def trace(evaluator: CachedEvaluator, space: SearchSpace) -> list[float]:
    """Losses of all patterns but the dense one in the order in which they were asked for.

    Infinite for those outside of `space`, which cost as much and are no answer.
    """
    asked = [pattern for pattern in evaluator.rows if pattern != space.dense]
    losses = evaluator.evaluate(asked).losses.tolist()
    return [
        loss if pattern in space else math.inf for pattern, loss in zip(asked, losses, strict=True)
    ]
