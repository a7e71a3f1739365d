"""An evaluator that counts what is asked of it, and charges for it as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evop_deap.fitness.protocol import Evaluation, Evaluator, Work
from evop_deap.space import Pattern, SearchSpace


class Meter:
    """`evaluator`, counted.

    Args:
        evaluator: evaluates the patterns.
        space: only losses of its patterns are remembered; without it, of all.
        admit: called with the number of different patterns that there would be with the next
            request, before that is paid for; may raise to refuse it.
        charge: (patterns, evaluation): the same losses at another price.
        after: (patterns, evaluation): called once a request is counted.

    Attributes:
        cost: dense-forward equivalents charged so far.
        work: the same by what it was.
        hits: how often a cache of the evaluator's own has answered.
        asked: the different patterns evaluated so far, on all windows or some, in that order.
        losses: of those evaluated on all windows so far, in that order.

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
        """Different patterns evaluated so far."""
        return len(self.asked)
