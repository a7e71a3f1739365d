"""The DEAP toolbox of a search: our operators and an evaluator, for our loop or any of DEAP's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from deap import base

from evop_deap.base.numbers import finite_or_worst
from evop_deap.evolution.operators import (
    init_distinct,
    init_uniform,
    mate_agreeing,
    mutate_mixed,
    select_tournament,
    within_budget,
)
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.space import SearchSpace


def make_toolbox(
    space: SearchSpace,
    evaluator: Evaluator,
    rng: random.Random,
    *,
    tournament: int = 3,
    neighbour: float = 0.35,
    more_swaps: float = 0.5,
) -> base.Toolbox:
    """Register everything that `evop_deap.evolve` and `deap.algorithms` look for.

    Args:
        space: which patterns there are.
        evaluator: judges whole populations; it also serves `evaluate` and `map`.
        rng: all randomness of the operators is drawn from it.
        tournament: individuals that compete to be a parent.
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
    if not space.is_count:
        for name in ("mate", "mutate"):
            toolbox.decorate(name, partial(within_budget, space=space, rng=rng))
    toolbox.register("select", select_tournament, tournsize=tournament, rng=rng)
    register_evaluator(toolbox, evaluator)
    return toolbox


def register_evaluator(toolbox: base.Toolbox, evaluator: Evaluator) -> None:
    """Make `evaluator` the toolbox's fitness.

    DEAP's algorithms call `toolbox.map(toolbox.evaluate, individuals)`; the registered map
    sees that and hands the whole population over at once.
    """

    def evaluate_population(individuals: Sequence[Sequence[int]]) -> Evaluation:
        return evaluator.evaluate([tuple(individual) for individual in individuals])

    def evaluate(individual: Sequence[int]) -> tuple[float]:
        return _fitnesses(evaluate_population([individual]))[0]

    # A decorator copies the attributes of what it wraps: the function itself tells them apart.
    evaluate.whole = (evaluate, evaluate_population)  # type: ignore[attr-defined]

    def batch_map(function: Callable[..., Any], *sequences: Iterable[Any]) -> list[Any]:
        if function is judged:
            return list(_fitnesses(evaluate_population(list(sequences[0]))))
        return list(map(function, *sequences))

    toolbox.register("evaluate", evaluate)
    toolbox.register("map", batch_map)
    # Whoever registers or decorates another `evaluate` is served by it, one by one.
    judged = toolbox.evaluate


def _fitnesses(evaluation: Evaluation) -> list[tuple[float]]:
    """DEAP's fitness tuples, with infinity for what is not a number."""
    return [(finite_or_worst(loss),) for loss in evaluation.losses.tolist()]
