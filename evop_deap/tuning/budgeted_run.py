"""A search of one problem with one seed, as far as a cost allows, and the curve it leaves."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from evop_deap.evolution.assemble import Search, assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import Seeds
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.meter import Meter
from evop_deap.heuristics.first_patterns import seeding_methods, seeds_of
from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Task
from evop_deap.settings.search_config import BALANCED
from evop_deap.tuning.problems import Problem


@dataclass(frozen=True)
class Point:
    """What a search has come to after a generation.

    Attributes:
        cost: dense-forward equivalents spent.
        evaluations: patterns evaluated.
        regret: of the best pattern so far, and never more than that of a random one.
    """

    cost: float
    evaluations: int
    regret: float


class BudgetedRun:
    """A search that can be carried on from one cost to the next.

    Args:
        problem: what is searched.
        seed: of all its randomness.
        settings: of the evolution, by their names in `SearchConfig`.
    """

    def __init__(self, problem: Problem, seed: int, settings: Mapping[str, Any]) -> None:
        self.problem = problem
        self.seed = seed
        self.state: EvolutionState | None = None
        self._meter = Meter(problem.evaluator)
        evaluator = CachedEvaluator(self._meter)
        self._search = search_in(problem, evaluator, random.Random(seed), settings)

    @property
    def hits(self) -> int:
        """Patterns that a cache beyond this search had the losses of, at each time of asking."""
        return self._meter.hits

    def advance(
        self,
        cost: float,
        *,
        enough: float | None = None,
        check: Callable[[], object] | None = None,
    ) -> None:
        """Search until so much is spent in all, or nothing new is within reach.

        Args:
            cost: dense-forward equivalents, those spent before included.
            enough: a regret at which nothing more is asked for.
            check: called after each generation; may raise to end the search.
        """
        state = self.state
        if state is not None and (state.cost >= cost or _exhausted(state)):
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
        """What the search had come to after each generation, the first one first."""
        points, regret = [], 1.0
        for record in self.state.records if self.state else ():
            regret = min(regret, self.problem.regret(record["min"]))
            points.append(Point(record["cost"], record["evaluations"], regret))
        return points

    def regret_at(self, cost: float) -> float:
        """Of the best pattern that was found for so much; 1 before there is any."""
        return min((p.regret for p in self.points if p.cost <= cost), default=1.0)


def search_in(
    problem: Problem,
    evaluator: CachedEvaluator,
    rng: random.Random,
    settings: Mapping[str, Any],
) -> Search:
    """The search that `run_search` would make of these settings, on this problem.

    Heuristics of `init` that look into a model are left out where the problem keeps no scores of
    theirs.

    Args:
        problem: what is searched.
        evaluator: remembers what it was asked, for the races.
        rng: all randomness is drawn from it.
        settings: by their names in `SearchConfig`.
    """
    evolution = EvolutionSettings.of(settings)
    begin: Callable[[], Seeds] = Seeds
    if evolution.surrogate != "none" and problem.knows_dense:
        evaluator.evaluate([problem.space.dense])
    if methods := _beginning(problem, settings["init"]):
        task = Task(problem.space, evaluator, rng, scores=problem.scores)
        begin = partial(seeds_of, methods, task)
    return assemble(
        problem.space, evaluator, rng, evolution, together=problem.together, begin=begin
    )


def _beginning(problem: Problem, init: Sequence[str]) -> list[Heuristic]:
    """The heuristics that the search begins with, but for those that nobody can ask here."""
    if tuple(init) == (BALANCED,):
        return []
    named = seeding_methods(tuple(init), problem.space)
    return [method for method in named if not method.needs_model or method.name in problem.scores]


def area_under(points: Sequence[Point], cost: float) -> float:
    """Mean regret of the best so far over all that is spent up to `cost`."""
    area, since, regret = 0.0, 0.0, 1.0
    for point in points:
        if point.cost > cost:
            break
        area += (point.cost - since) * regret
        since, regret = point.cost, point.regret
    return (area + (cost - since) * regret) / cost


def evaluations_within(points: Sequence[Point], cost: float, epsilon: float) -> float:
    """Patterns evaluated until the regret was at most `epsilon`.

    Where it never was for `cost`, twice those evaluated: that many at least would have been needed
    had the search been begun again (the penalised average of algorithm configuration, PAR2).
    """
    for point in points:
        if point.cost <= cost and point.regret <= epsilon:
            return float(point.evaluations)
    return 2.0 * points[-1].evaluations


def _exhausted(state: EvolutionState) -> bool:
    """Whether the last part of the search ended for want of anything new, not of budget."""
    return state.stopped is not None and state.stopped.startswith("every pattern")
