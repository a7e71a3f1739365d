"""An evaluator that counts what a rule asks of it, and says when the rule has had enough."""

from __future__ import annotations

import time
from collections.abc import Sequence

from evop_deap.base.errors import InputError
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.heuristics.task import Pick, Task
from evop_deap.space import Pattern


class Meter:
    """The task's evaluator, counted.

    Attributes:
        cost: dense-forward equivalents spent so far.
        work: the same by what it was.
        asked: the different patterns judged so far, on all windows or some, in that order.
        losses: of the patterns of the space judged on all windows so far, in that order.

    Example:
        >>> import random
        >>> from evop_deap.fitness.tabular import TabularEvaluator
        >>> from evop_deap.space import SearchSpace, Unit
        >>> space = SearchSpace((Unit("0", 1, 1), Unit("1", 1, 1)), n_drop=1)
        >>> table = TabularEvaluator({(0, 1): 2.0, (1, 0): 3.0})
        >>> meter = Meter(Task(space, table, random.Random(0)))
        >>> meter.evaluate([(0, 1), (0, 1)]).losses, meter.evaluations
        (array([2., 2.]), 1)
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._began = time.monotonic()
        self.cost, self.work = 0.0, Work()
        self.asked: dict[Pattern, None] = {}
        self.losses: dict[Pattern, float] = {}

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Judge each pattern on all windows, or on some by index."""
        found = self._task.evaluator.evaluate(patterns, windows)
        self.cost += found.cost
        self.work += found.work
        self.asked.update(dict.fromkeys(patterns))
        if windows is None:
            losses = zip(patterns, found.losses.tolist(), strict=True)
            self.losses.update((p, loss) for p, loss in losses if p in self._task.space)
        return found

    @property
    def evaluations(self) -> int:
        """Different patterns judged so far."""
        return len(self.asked)

    @property
    def left(self) -> int:
        """How many more patterns the space and the limits allow; 0 once a limit is reached."""
        stopping = self._task.stopping
        reached = stopping.reason(
            0,
            evaluations=self.evaluations,
            cost=self.cost,
            seconds=time.monotonic() - self._began,
            stagnant=0,
        )
        inside = self._task.space.size - len(self.losses)
        return 0 if reached else stopping.evaluations_left(self.evaluations, inside)

    def pick_best(self) -> Pick:
        """The pattern of the lowest loss so far, of equals the first.

        Raises:
            InputError: the limits left no room for a single pattern.
        """
        if not self.losses:
            raise InputError("`method` found no room to judge a pattern within its limits")
        best = min(self.losses, key=self.losses.__getitem__)
        return Pick(
            best,
            cost=self.cost,
            evaluations=self.evaluations,
            work=self.work,
            losses=dict(self.losses),
        )
