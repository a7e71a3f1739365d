"""A search of one problem with one seed and a limited cost, and its curve of regret."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from evop_deap.evolution.assemble import Search, assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import EXHAUSTED, Stopping
from evop_deap.evolution.strategies import Seeds
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.meter import Meter
from evop_deap.heuristics.first_patterns import seeding_methods, seeds_of
from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Task
from evop_deap.settings.heuristic_names import BALANCED
from evop_deap.tuning.problems import Problem


@dataclass(frozen=True)
class Point:
    """Cost and regret of a search after a generation.

    Attributes:
        cost: dense-forward equivalents spent.
        evaluations: patterns evaluated.
        regret: regret of the best pattern so far, at most 1, the regret of a random pattern.
    """

    cost: float
    evaluations: int
    regret: float


class BudgetedRun:
    """A search that can be continued to a higher cost.

    Args:
        problem: the problem to search.
        seed: seed of all randomness.
        settings: settings of the evolution, by their names in `SearchConfig`.
    """

    def __init__(self, problem: Problem, seed: int, settings: Mapping[str, Any]) -> None:
        self.problem = problem
        self.seed = seed
        self.state: EvolutionState | None = None
        self._meter = Meter(problem.evaluator_of_search())
        evaluator = CachedEvaluator(self._meter)
        self._search = search_in(problem, evaluator, random.Random(seed), settings)

    @property
    def hits(self) -> int:
        """Evaluations that a cache outside this search answered; repeated ones count again."""
        return self._meter.hits

    def advance(
        self,
        cost: float,
        *,
        enough: float | None = None,
        check: Callable[[], object] | None = None,
    ) -> None:
        """Search until a total cost is spent, or no new pattern can be found.

        Args:
            cost: total dense-forward equivalents, with those already spent.
            enough: regret at which the search stops; None to continue.
            check: called after each generation; may raise to end the search.
        """
        state = self.state
        if state is not None and (state.cost >= cost or state.stopped == EXHAUSTED):
            return

        def done(state: EvolutionState) -> bool:
            if check is not None:
                check()
            return enough is not None and self.problem.regret(state.best.loss) <= enough

        if state is not None and done(state):
            return
        self.state = self._search.run(Stopping(cost=cost), state, callbacks=[done])

    @property
    def points(self) -> list[Point]:
        """Cost and regret after each generation, in order."""
        points, regret = [], 1.0
        for record in self.state.records if self.state else ():
            regret = min(regret, self.problem.regret(record["min"]))
            points.append(Point(record["cost"], record["evaluations"], regret))
        return points

    def regret_at(self, cost: float) -> float:
        """Return the regret of the best pattern found within `cost`; 1 without any."""
        return min((p.regret for p in self.points if p.cost <= cost), default=1.0)


def search_in(
    problem: Problem,
    evaluator: CachedEvaluator,
    rng: random.Random,
    settings: Mapping[str, Any],
) -> Search:
    """Return the search that `run_search` would assemble from these settings.

    Heuristics in `init` that need a model are left out if the problem does not have their scores.

    Args:
        problem: the problem to search.
        evaluator: evaluator with a cache, which races need.
        rng: source of all randomness.
        settings: settings by their names in `SearchConfig`.
    """
    evolution = EvolutionSettings.of(settings)
    begin: Callable[[], Seeds] = Seeds
    if problem.knows_dense:  # every search begins with it, and keeps its hidden states
        evaluator.evaluate([problem.space.dense])
    if methods := _seeding_heuristics(problem, settings["init"]):
        task = Task(problem.space, evaluator, rng, scores=problem.scores)
        begin = partial(seeds_of, methods, task)
    return assemble(
        problem.space, evaluator, rng, evolution, together=problem.together, begin=begin
    )


def _seeding_heuristics(problem: Problem, init: Sequence[str]) -> list[Heuristic]:
    """Return the heuristics in `init` that need no model or have known scores."""
    if tuple(init) == (BALANCED,):
        return []
    named = seeding_methods(tuple(init), problem.space)
    return [method for method in named if not method.needs_model or method.name in problem.scores]


def area_under(points: Sequence[Point], cost: float) -> float:
    """Return the regret of the best pattern so far, averaged over the cost from 0 to `cost`."""
    area, since, regret = 0.0, 0.0, 1.0
    for point in points:
        if point.cost > cost:
            break
        area += (point.cost - since) * regret
        since, regret = point.cost, point.regret
    return (area + (cost - since) * regret) / cost


def evaluations_within(points: Sequence[Point], cost: float, epsilon: float) -> float:
    """Return how many patterns were evaluated until the regret was at most `epsilon`.

    A search that does not reach `epsilon` within `cost` counts twice its evaluations, as in the
    penalised average runtime of algorithm configuration (PAR2).
    """
    for point in points:
        if point.cost <= cost and point.regret <= epsilon:
            return float(point.evaluations)
    return 2.0 * points[-1].evaluations
