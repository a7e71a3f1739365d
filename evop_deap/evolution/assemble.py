"""Assembly of a search from settings and an evaluator."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from deap import base

from evop_deap.evolution.asynchronous import evolve_asynchronously
from evop_deap.evolution.callbacks import Callback
from evop_deap.evolution.loop import evolve
from evop_deap.evolution.nsga2 import front_strategies, front_toolbox
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.racing import Racing, race
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import Seeds, Strategies
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.evolution.trade import Trade
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.in_flight import InFlight
from evop_deap.fitness.protocol import Evaluator
from evop_deap.space import SearchSpace
from evop_deap.surrogate.first_population import init_balanced
from evop_deap.surrogate.preference import Surrogate, prefer, surrogate_of


@dataclass(frozen=True, eq=False)
class Search:
    """A search that is ready to run.

    Attributes:
        toolbox: the operators; register another one to replace it.
        rng: source of all randomness.
        settings: sizes and rates.
        strategies: the replaceable parts of the loop.
        flight: evaluates patterns while others are proposed; None in a search by generations.
    """

    toolbox: base.Toolbox
    rng: random.Random
    settings: EvolutionSettings
    strategies: Strategies
    flight: InFlight | None = None

    def run(
        self,
        stopping: Stopping,
        state: EvolutionState | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> EvolutionState:
        """Search from `state`, or from the start, until a limit or a callback ends the search."""
        loop = evolve
        if self.flight is not None:
            loop = partial(evolve_asynchronously, flight=self.flight)
        return loop(
            self.toolbox,
            self.rng,
            settings=self.settings,
            stopping=stopping,
            strategies=self.strategies,
            state=state,
            callbacks=callbacks,
        )


def assemble(
    space: SearchSpace,
    evaluator: CachedEvaluator,
    rng: random.Random,
    settings: EvolutionSettings,
    *,
    together: int = 1,
    begin: Callable[[], Seeds] = Seeds,
    surrogate: Surrogate | None = None,
    flight: InFlight | None = None,
) -> Search:
    """Return a search for the pattern with the lowest loss.

    Args:
        space: the patterns to search.
        evaluator: provides the window sums for races and the surrogate. If it has evaluated the
            dense pattern, the surrogate models the excess over the dense model's loss.
        rng: source of all randomness.
        settings: the settings of the search.
        together: number of windows that are computed together; a race adds them together.
        begin: returns the seeds of the first population.
        surrogate: replaces the surrogate that `settings` name.
        flight: evaluates patterns by `evaluator` while others are proposed. There are no races
            then; without it, the search goes by generations.

    Example:
        >>> from evop_deap.fitness.tabular import TabularEvaluator
        >>> from evop_deap.space import Unit
        >>> space = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(8)), n_drop=2)
        >>> table = TabularEvaluator({space.pattern([1, 5]): 1.0}, missing=3.0)
        >>> search = assemble(space, CachedEvaluator(table), random.Random(0), EvolutionSettings())
        >>> search.run(Stopping()).best
        [1, 0, 1, 1, 1, 0, 1, 1]
    """
    toolbox = make_toolbox(
        space,
        evaluator,
        rng,
        tournament=settings.tournament,
        neighbour=settings.neighbour,
        more_swaps=settings.more_swaps,
    )
    strategies = Strategies(evaluate=evaluator.evaluate, begin=begin)
    if (surrogate := surrogate or surrogate_of(settings.surrogate)) is not None:
        toolbox.register("population", init_balanced, space, rng=rng)
        preferring = partial(prefer, surrogate=surrogate, evaluator=evaluator, space=space)
        strategies = replace(strategies, prefer=preferring)
    if settings.racing == "on" and flight is None:
        racing = Racing.over(
            len(evaluator.tokens),
            together=together,
            rungs=settings.racing_rungs,
            confidence=settings.racing_confidence,
        )
        choosing = partial(race, evaluator=evaluator, racing=racing, size=settings.population)
        strategies = replace(strategies, choose=choosing)
    return Search(toolbox, rng, settings, strategies, flight)


def assemble_front(
    trade: Trade, evaluator: Evaluator, rng: random.Random, settings: EvolutionSettings
) -> Search:
    """Return a search for the Pareto front of loss against size, by NSGA-II.

    The first population has patterns of all sizes. Patience counts generations in which the
    hypervolume did not grow. The last state's population is sorted by loss; `front_of` returns
    the front.

    Args:
        trade: the space and the sizes of its units.
        evaluator: evaluates whole populations.
        rng: source of all randomness.
        settings: sizes and rates. Surrogate, racing and restart are not used; a restart would
            keep only the best loss of the front.
    """
    toolbox = front_toolbox(trade, rng, settings)
    return Search(toolbox, rng, replace(settings, restart=0), front_strategies(trade, evaluator))
