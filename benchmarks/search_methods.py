"""Ways to search for a pattern, under one face: each asks an evaluator for so many patterns.

What a method did is read off the evaluator, which remembers the patterns in the order in which
they were first asked for. Asking again costs nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, MutableSequence, Sequence
from typing import Any

import numpy as np

from evop_deap.config import SearchConfig
from evop_deap.evolution import evolve
from evop_deap.evolution_state import EvolutionSettings
from evop_deap.fitness.cache import CachedEvaluator
from evop_deap.genome import Genome
from evop_deap.operators import init_uniform, mutate_swap
from evop_deap.racing import Racing, race
from evop_deap.space import Pattern, SearchSpace
from evop_deap.stopping import Stopping
from evop_deap.surrogate.preference import Surrogate, register_surrogate
from evop_deap.toolbox import make_toolbox

Method = Callable[[SearchSpace, CachedEvaluator, int, int], object]
"""(space, evaluator, evaluations, seed): asks for so many different patterns, or all there are."""

DEFAULTS = SearchConfig(model="demo", sparsity=0.1)


def at_random(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> None:
    """Patterns drawn uniformly."""
    rng = random.Random(seed)
    drawn: dict[Pattern, None] = {}
    while len(drawn) < min(evaluations, space.size):
        drawn[init_uniform(space, rng=rng).pattern] = None
    evaluator.evaluate(list(drawn))


def evopress_like(
    space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int
) -> None:
    """(1 + 16) by level-switch mutation alone, as EvoPress (arXiv 2410.14649, algorithm 1) has it.

    Of two numbers of swaps drawn from 1 to 3 the smaller is taken. Every child is judged in
    full: there are no cheaper stages, and no child is judged twice.
    """
    rng = random.Random(seed)
    toolbox = make_toolbox(space, evaluator, rng, tournament=1)
    toolbox.register("mutate", _level_switch, rng=rng, droppable=space.droppable)
    settings = EvolutionSettings(population=1, offspring=16, crossover=0.0)
    evolve(toolbox, rng, settings=settings, stopping=Stopping(evaluations=evaluations))


def _level_switch(
    individual: MutableSequence[int], *, rng: random.Random, droppable: Sequence[int]
) -> tuple[MutableSequence[int]]:
    for _ in range(min(rng.randint(1, 3), rng.randint(1, 3))):
        mutate_swap(individual, rng=rng, droppable=droppable, more=0.0)
    return (individual,)


def plain(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> None:
    """The default search without a surrogate."""
    _evolution(space, evaluator, evaluations, seed, None)


def linear(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> None:
    """The default search with a surrogate that knows no interactions."""
    _evolution(space, evaluator, evaluations, seed, Surrogate(powers=1))


def surrogate(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> None:
    """The default search."""
    _evolution(space, evaluator, evaluations, seed, Surrogate())


def plain_racing(
    space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int
) -> None:
    """The default search without a surrogate, children racing."""
    _evolution(space, evaluator, evaluations, seed, None, racing=True)


def surrogate_racing(
    space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int
) -> None:
    """The default search, children racing."""
    _evolution(space, evaluator, evaluations, seed, Surrogate(), racing=True)


def _evolution(
    space: SearchSpace,
    evaluator: CachedEvaluator,
    evaluations: int,
    seed: int,
    model: Surrogate | None,
    *,
    racing: bool = False,
) -> None:
    rng = random.Random(seed)
    toolbox = make_toolbox(space, evaluator, rng)
    if model is not None:
        register_surrogate(toolbox, model, evaluator, space, rng)
    if racing:
        rungs, size = Racing.over(len(evaluator.tokens)), DEFAULTS.population
        toolbox.register("choose", race, evaluator=evaluator, racing=rungs, size=size)
    settings = EvolutionSettings(DEFAULTS.population, DEFAULTS.offspring)
    evolve(toolbox, rng, settings=settings, stopping=Stopping(evaluations=evaluations))


def tpe(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> None:
    """Optuna's default sampler."""
    from optuna.samplers import TPESampler

    _optuna(space, evaluator, evaluations, TPESampler(seed=seed))


def gp_sampler(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> None:
    """Optuna's Gaussian process."""
    from optuna.samplers import GPSampler

    _optuna(space, evaluator, evaluations, GPSampler(seed=seed))


def _optuna(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, sampler: Any) -> None:
    """A study with one whole number a drop: which unit it is.

    One bit a unit would leave it to chance whether a trial keeps the budget. A unit named twice
    gives way to the next that is free.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=sampler)
    free, wanted = space.droppable, min(evaluations, space.size)
    asked: set[Pattern] = set()
    for _ in range(4 * wanted):  # trials that repeat a pattern are free, but not for ever
        trial = study.ask()
        dropped: list[int] = []
        for drop in range(space.n_drop):
            at = trial.suggest_int(f"drop {drop}", 0, len(free) - 1)
            while free[at] in dropped:
                at = (at + 1) % len(free)
            dropped.append(free[at])
        pattern = space.pattern(dropped)
        study.tell(trial, float(evaluator.evaluate([pattern]).losses[0]))
        asked.add(pattern)
        if len(asked) == wanted:
            return


def greedy(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> None:
    """SLEB's removal one at a time, all that are left judged anew (arXiv 2402.09025)."""
    dropped: set[int] = set()
    for _ in range(space.n_drop):
        left = [unit for unit in space.droppable if unit not in dropped]
        losses = evaluator.evaluate([space.pattern({*dropped, unit}) for unit in left]).losses
        dropped.add(left[int(losses.argmin())])


def evopress(space: SearchSpace, evaluator: CachedEvaluator, evaluations: int, seed: int) -> None:
    """EvoPress's own procedure on windows that stay the same.

    32 children by level-switch mutation are judged on an eighth of the windows, one at least;
    the best two of them and their parent on all.
    """
    rng, windows = random.Random(seed), len(evaluator.tokens)
    first_look = range(max(1, windows // 8))
    parent = init_uniform(space, rng=rng)
    best = float(evaluator.evaluate([parent.pattern]).losses[0])
    for _ in range(evaluations):  # a parent may have no better neighbour, for ever
        if sum(not np.isnan(row).any() for row in evaluator.rows.values()) >= evaluations:
            return
        children = [
            tuple(_level_switch(list(parent), rng=rng, droppable=space.droppable)[0])
            for _ in range(32)
        ]
        looks = evaluator.evaluate(children, first_look).losses
        finalists = [children[place] for place in np.argsort(looks, kind="stable")[:2]]
        losses = evaluator.evaluate(finalists).losses
        if losses.min() < best:
            best, parent = float(losses.min()), Genome(finalists[int(losses.argmin())])


TABULAR: dict[str, Method] = {
    "random": at_random,
    "evopress-like": evopress_like,
    "plain": plain,
    "tpe": tpe,
    "gp-sampler": gp_sampler,
    "linear": linear,
    "surrogate": surrogate,
}
"""Methods that judge every pattern in full."""

METHODS: dict[str, Method] = {
    "greedy": greedy,
    "evopress": evopress,
    **TABULAR,
    "plain, racing": plain_racing,
    "surrogate, racing": surrogate_racing,
}


def trace(evaluator: CachedEvaluator, space: SearchSpace) -> list[float]:
    """Losses of the patterns of `space` in the order in which they were asked for."""
    patterns = [pattern for pattern in evaluator.rows if pattern in space]
    losses: list[float] = evaluator.evaluate(patterns).losses.tolist()
    return losses
