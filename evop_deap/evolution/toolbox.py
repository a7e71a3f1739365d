"""The DEAP toolbox of a search, for `evolve` or any of DEAP's algorithms."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from deap import base

from evop_deap.evolution.operators import (
    WithinBudget,
    init_distinct,
    init_uniform,
    mate_agreeing,
    mutate_mixed,
    select_tournament,
)
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.fitness.protocol import Evaluator
from evop_deap.space import SearchSpace


def make_toolbox(
    space: SearchSpace,
    evaluator: Evaluator,
    rng: random.Random,
    *,
    tournament: int = EvolutionSettings.tournament,
    neighbour: float = EvolutionSettings.neighbour,
    more_swaps: float = EvolutionSettings.more_swaps,
) -> base.Toolbox:
    """Return a toolbox with all operators that `evop_deap.evolve` and `deap.algorithms` use.

    Args:
        space: the patterns to search.
        evaluator: evaluates whole populations; registered as `evaluate` and `map`.
        rng: source of the operators' randomness.
        tournament: individuals that compete to become a parent.
        neighbour: share of mutations that move a dropped unit to a neighbour.
        more_swaps: probability of each further swap in the other mutations.

    Example:
        >>> from deap import algorithms
        >>> from evop_deap.fitness.tabular import TabularEvaluator
        >>> from evop_deap.space import Unit
        >>> space = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(4)), n_drop=2)
        >>> table = TabularEvaluator({(0, 0, 1, 1): 1.0, (1, 1, 0, 0): 2.0}, missing=3.0)
        >>> toolbox = make_toolbox(space, table, random.Random(0))
        >>> population, _ = algorithms.eaMuPlusLambda(
        ...     toolbox.population(n=4), toolbox, 4, 8, 0.5, 0.5, 30, verbose=False)
        >>> min(population, key=lambda individual: individual.loss)
        [0, 0, 1, 1]
    """
    toolbox = base.Toolbox()
    toolbox.register("individual", init_uniform, space, rng=rng)
    toolbox.register("population", init_distinct, toolbox.individual)
    toolbox.register("mate", mate_agreeing, rng=rng)
    toolbox.register(
        "mutate",
        mutate_mixed,
        rng=rng,
        droppable=space.line,
        blocks=space.blocks,
        neighbour=neighbour,
        more=more_swaps,
    )
    if not space.is_free:
        for name in ("mate", "mutate"):
            toolbox.decorate(name, partial(WithinBudget, space=space, rng=rng))
    toolbox.register("select", select_tournament, tournsize=tournament, rng=rng)
    fitness = PopulationFitness(evaluator)
    toolbox.register("evaluate", fitness)
    toolbox.register("map", fitness.map)
    return toolbox


@dataclass(frozen=True, eq=False)
class PopulationFitness:
    """An evaluator as DEAP's `evaluate`, with a `map` that evaluates whole populations at once.

    DEAP's algorithms call `toolbox.map(toolbox.evaluate, individuals)`. If another `evaluate` is
    registered, or this one is decorated, `map` calls it one individual at a time.
    """

    evaluator: Evaluator

    def __call__(self, individual: Sequence[int]) -> tuple[float]:
        """Return DEAP's fitness values of one individual."""
        return self.of_all([individual])[0]

    def of_all(self, individuals: Iterable[Sequence[int]]) -> list[tuple[float]]:
        """Return DEAP's fitness values of each individual."""
        found = self.evaluator.evaluate([tuple(individual) for individual in individuals])
        return [(loss,) for loss in found.losses.tolist()]

    def map(self, function: Callable[..., Any], *sequences: Iterable[Any]) -> list[Any]:
        """Map `function` over the items; evaluate all at once if it is this registered fitness."""
        if isinstance(function, partial) and function.func is self:
            return self.of_all(*sequences)
        return list(map(function, *sequences))
