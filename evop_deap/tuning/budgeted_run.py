"""A search of one problem with one seed, as far as a cost allows, and the curve it leaves."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deap import base

from evop_deap.evolution.loop import evolve
from evop_deap.evolution.racing import Racing, race
from evop_deap.evolution.state import EvolutionSettings, EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.heuristics.first_patterns import seeding_methods, seeds_of
from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Task
from evop_deap.settings.search_config import BALANCED
from evop_deap.space import Pattern
from evop_deap.surrogate.preference import register_surrogate, surrogate_of
from evop_deap.tuning.problems import Problem


@dataclass(frozen=True)
class Point:
    """What a search has come to after a generation.

    Attributes:
        cost: dense-forward equivalents spent.
        evaluations: patterns judged.
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
        self._rng = random.Random(seed)
        self._asked = _CountingHits(problem.evaluator)
        self._toolbox = tuned_toolbox(problem, CachedEvaluator(self._asked), self._rng, settings)
        self._settings = evolution_settings(settings)

    @property
    def hits(self) -> int:
        """Patterns that a cache beyond this search had the losses of, at each time of asking."""
        return self._asked.hits

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
        self.state = evolve(
            self._toolbox,
            self._rng,
            settings=self._settings,
            stopping=Stopping(cost=cost),
            state=state,
            callbacks=[done],
        )

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


def evolution_settings(settings: Mapping[str, Any]) -> EvolutionSettings:
    """The loop's share of the settings."""
    return EvolutionSettings(
        population=settings["population"],
        offspring=settings["offspring"],
        crossover=settings["crossover"],
        mutation=settings["mutation"],
        restart=settings["restart"],
    )


def tuned_toolbox(
    problem: Problem,
    evaluator: CachedEvaluator,
    rng: random.Random,
    settings: Mapping[str, Any],
) -> base.Toolbox:
    """Operators, surrogate, racing and first patterns as `run_search` sets them up.

    Rules of `init` that look into a model are left out where the problem keeps no look of theirs.

    Args:
        problem: what is searched.
        evaluator: remembers what it was asked, for the races.
        rng: all randomness of the operators is drawn from it.
        settings: by their names in `SearchConfig`.
    """
    toolbox = make_toolbox(
        problem.space,
        evaluator,
        rng,
        tournament=settings["tournament"],
        neighbour=settings["neighbour"],
        more_swaps=settings["more_swaps"],
    )
    if (surrogate := surrogate_of(settings["surrogate"])) is not None:
        if problem.knows_dense:
            evaluator.evaluate([problem.space.dense])
        register_surrogate(toolbox, surrogate, evaluator, problem.space, rng)
    if methods := _beginning(problem, settings["init"]):
        task = Task(problem.space, evaluator, rng, scores=problem.scores)
        toolbox.register("seed", seeds_of, methods, task)
    if settings["racing"] == "on":
        racing = Racing.over(
            len(evaluator.tokens),
            together=problem.together,
            rungs=settings["racing_rungs"],
            confidence=settings["racing_confidence"],
        )
        size = settings["population"]
        toolbox.register("choose", race, evaluator=evaluator, racing=racing, size=size)
    return toolbox


def _beginning(problem: Problem, init: Sequence[str]) -> list[Heuristic]:
    """The rules that the search begins with, but for those that nobody can ask here."""
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
    """Patterns judged until the regret was at most `epsilon`.

    Where it never was for `cost`, twice those judged: that many at least would have been needed
    had the search been begun again (the penalised average of algorithm configuration, PAR2).
    """
    for point in points:
        if point.cost <= cost and point.regret <= epsilon:
            return float(point.evaluations)
    return 2.0 * points[-1].evaluations


def _exhausted(state: EvolutionState) -> bool:
    """Whether the last part of the search ended for want of anything new, not of budget."""
    return state.stopped is not None and state.stopped.startswith("every pattern")


class _CountingHits:
    """Asks `evaluator` and remembers how often a cache of its own answered."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self.hits = 0

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        found = self._evaluator.evaluate(patterns, windows)
        self.hits += found.hits
        return found
