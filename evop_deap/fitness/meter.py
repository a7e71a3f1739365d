"""A wrapper that counts the evaluations and the cost of an evaluator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evop_deap.fitness.protocol import Evaluation, Evaluator, Work
from evop_deap.space import Pattern, SearchSpace


class Meter:
    """An evaluator that counts evaluations, cost and work of another one.

    Args:
        evaluator: evaluates the patterns.
        space: if given, `losses` holds only patterns of this space.
        admit: called before each request with the number of different patterns after it; may
            raise to refuse the request.
        charge: (patterns, evaluation): returns the evaluation with other costs.
        after: (patterns, evaluation): called after each request.

    Attributes:
        cost: dense-forward equivalents spent so far.
        work: work executed so far.
        hits: patterns that a cache of the evaluator answered.
        asked: the different patterns evaluated on all or some windows, in order.
        losses: losses of the patterns evaluated on all windows, in order.

    Example:
        >>> from evop_deap.fitness.tabular import TabularEvaluator
        >>> meter = Meter(TabularEvaluator({(0, 1): 2.0, (1, 0): 3.0}))
        >>> meter.evaluate([(0, 1), (0, 1)]).losses, meter.evaluations, meter.cost
        (array([2., 2.]), 1, 2.0)
    """

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        space: SearchSpace | None = None,
        admit: Callable[[int], object] | None = None,
        charge: Callable[[Sequence[Pattern], Evaluation], Evaluation] | None = None,
        after: Callable[[Sequence[Pattern], Evaluation], object] | None = None,
    ) -> None:
        self._evaluator = evaluator
        self._space = space
        self._admit, self._charge, self._after = admit, charge, after
        self.cost, self.work, self.hits = 0.0, Work(), 0
        self.asked: dict[Pattern, None] = {}
        self.losses: dict[Pattern, float] = {}

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index."""
        if self._admit:
            self._admit(len({*self.asked, *patterns}))
        found = self._evaluator.evaluate(patterns, windows)
        return self.enter(patterns, found, whole=windows is None)

    def enter(
        self, patterns: Sequence[Pattern], found: Evaluation, *, whole: bool = True
    ) -> Evaluation:
        """Charge and count an evaluation, on all windows or not, wherever it comes from."""
        if self._charge:
            found = self._charge(patterns, found)
        self.cost += found.cost
        self.work += found.work
        self.hits += found.hits
        self.asked.update(dict.fromkeys(patterns))
        if whole:
            losses = zip(patterns, found.losses.tolist(), strict=True)
            self.losses.update(
                (p, loss) for p, loss in losses if self._space is None or p in self._space
            )
        if self._after:
            self._after(patterns, found)
        return found

    @property
    def evaluations(self) -> int:
        """Number of different patterns evaluated so far."""
        return len(self.asked)
