"""Ways to search for a pattern, under one face: each asks an evaluator for so many patterns.

What a method did is read off the evaluator, which remembers the patterns in the order in which
they were first asked for. Asking again costs nothing. Published rules are those of
`evop_deap.heuristics`; what stands here are variants of the default search, and EvoPress without
its cheaper looks.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from evop_deap.config import SearchConfig
from evop_deap.evolution import evolve
from evop_deap.evolution_state import EvolutionSettings
from evop_deap.fitness.cache import CachedEvaluator
from evop_deap.heuristics import METHODS as HEURISTICS
from evop_deap.heuristics import Task
from evop_deap.heuristics.evopress import level_switch
from evop_deap.heuristics.optuna_bits import drive_bits
from evop_deap.racing import Racing, race
from evop_deap.run.seeding import seeding_methods, seeds_of
from evop_deap.space import SearchSpace
from evop_deap.stopping import Stopping
from evop_deap.surrogate.preference import Surrogate, register_surrogate
from evop_deap.toolbox import make_toolbox
from evop_deap.tuning.settings_space import RANGES

Method = Callable[[SearchSpace, CachedEvaluator, int, int], object]
"""(space, evaluator, evaluations, seed): asks for so many different patterns, or all there are."""

DEFAULTS = SearchConfig(model="demo", sparsity=0.1)


def heuristic(name: str) -> Method:
    """The heuristic of this name, given so many evaluations."""

    def run(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> None:
        HEURISTICS[name](_task(space, evaluator, evaluations, seed))

    return run


def gp_sampler(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> None:
    """Optuna's Gaussian process, driving the bits as its other samplers do."""
    from optuna.samplers import GPSampler

    task = _task(space, evaluator, evaluations, seed)
    drive_bits(task, lambda: GPSampler(seed=seed), at_once=1)


def evopress_like(
    space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int
) -> None:
    """(1 + 16) by EvoPress's level switches alone.

    Every child is judged in full: there are no cheaper looks, and no child is judged twice.
    """
    rng = random.Random(seed)
    toolbox = make_toolbox(space, evaluator, rng, tournament=1)
    toolbox.register("mutate", level_switch, rng=rng, space=space)
    settings = EvolutionSettings(population=1, offspring=16, crossover=0.0)
    evolve(toolbox, rng, settings=settings, stopping=Stopping(evaluations=evaluations))


def evolution(
    space: SearchSpace,
    evaluator: CachedEvaluator,
    evaluations: int,
    seed: int,
    *,
    surrogate: Surrogate | None = None,
    racing: bool = False,
    init: tuple[str, ...] = (),
) -> None:
    """The default search, but for what is said."""
    rng = random.Random(seed)
    toolbox = make_toolbox(space, evaluator, rng)
    if surrogate is not None:
        register_surrogate(toolbox, surrogate, evaluator, space, rng)
    if racing:
        rungs, size = Racing.over(len(evaluator.tokens)), DEFAULTS.population
        toolbox.register("choose", race, evaluator=evaluator, racing=rungs, size=size)
    if init:
        task = _task(space, evaluator, evaluations, seed)
        toolbox.register("seed", seeds_of, seeding_methods(init, space), task)
    settings = EvolutionSettings(DEFAULTS.population, DEFAULTS.offspring)
    evolve(toolbox, rng, settings=settings, stopping=Stopping(evaluations=evaluations))


def _task(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> Task:
    return Task(space, evaluator, random.Random(seed), Stopping(evaluations=evaluations))


TABULAR: dict[str, Method] = {
    "random": heuristic("random-best"),
    "evopress-like": evopress_like,
    "plain": evolution,
    "tpe": heuristic("tpe"),
    "nsga2": heuristic("nsga2"),
    "cmaes": heuristic("cmaes"),
    "gp-sampler": gp_sampler,
    "linear": partial(evolution, surrogate=Surrogate(powers=1)),
    "surrogate": partial(evolution, surrogate=Surrogate()),
    "seeded": partial(evolution, surrogate=Surrogate(), init=("leave-one-out",)),
    "seeded greedily": partial(evolution, surrogate=Surrogate(), init=("sleb",)),
}
"""Methods that judge every pattern in full."""

METHODS: dict[str, Method] = {
    "greedy": heuristic("sleb"),
    "evopress": heuristic("evopress"),
    **TABULAR,
    "plain, racing": partial(evolution, racing=True),
    "surrogate, racing": partial(evolution, surrogate=Surrogate(), racing=True),
}


def settings_of(name: str) -> dict[str, Any]:
    """The search's own settings, where the method is one of its variants."""
    method = TABULAR[name]
    if getattr(method, "func", method) is not evolution:
        return {}
    return {setting: getattr(DEFAULTS, setting) for setting in RANGES}


def trace(evaluator: CachedEvaluator, space: SearchSpace) -> list[float]:
    """Losses of all patterns but the dense one in the order in which they were asked for.

    Infinite for those outside of `space`, which cost as much and are no answer.
    """
    asked = [pattern for pattern in evaluator.rows if pattern != space.dense]
    losses = evaluator.evaluate(asked).losses.tolist()
    return [
        loss if pattern in space else math.inf for pattern, loss in zip(asked, losses, strict=True)
    ]
