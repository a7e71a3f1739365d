"""An evaluator that charges for a pattern what it costs, whether or not its loss was known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.space import Pattern


class EvenlyCharged:
    """`evaluator`'s losses at the price that the population evaluator would ask for them.

    Where trials share a cache, what was really spent depends on those that came before; what a
    search would have spent alone does not.

    Args:
        evaluator: judges the patterns.
        work: multiply-adds a token of each unit.
        head_work: of the head, likewise.
        release: called once the answer is there, to let others have it.

    Example:
        >>> from evop_deap.fitness.tabular import TabularEvaluator
        >>> table = TabularEvaluator({(1, 0): 2.5})
        >>> EvenlyCharged(table, work=[2, 2], head_work=1).evaluate([(1, 0)]).costs
        array([0.6])
    """

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        work: Sequence[int],
        head_work: int,
        release: Callable[[], object] | None = None,
    ) -> None:
        self._evaluator = evaluator
        self._work = tuple(work)
        self._head_work = head_work
        self._release = release
        self._windows = len(evaluator.evaluate([]).tokens)

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Judge each pattern on all windows, or on some, and charge for these."""
        found = self._evaluator.evaluate(patterns, windows)
        if self._release is not None:
            self._release()
        keys = [tuple(pattern) for pattern in patterns]
        share = len(found.tokens) / self._windows
        costs = walk_costs(keys, self._work, self._head_work) * share
        return Evaluation(found.sums, found.tokens, np.asarray(costs), found.hits, found.work)
