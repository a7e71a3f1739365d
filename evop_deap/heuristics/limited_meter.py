"""A meter with the limits of a heuristic that searches, and its best pattern."""

from __future__ import annotations

import time

from evop_deap.base.errors import InputError
from evop_deap.fitness.meter import Meter
from evop_deap.heuristics.task import Pick, Task


class LimitedMeter(Meter):
    """A meter on the task's evaluator that applies the task's limits."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.evaluator, space=task.space)
        self._task = task
        self._began = time.monotonic()

    @property
    def left(self) -> int:
        """Number of patterns that the space and the limits still allow; 0 at a limit."""
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

    def affordable(self, at_once: int) -> int:
        """Return how many of `at_once` patterns to evaluate next: those that are paid for.

        A pattern is taken to cost a whole pass, so only the last one can pass the limit of cost.
        """
        most, cost = min(at_once, self.left), self._task.stopping.cost
        return most if cost is None or not most else max(1, min(most, int(cost - self.cost)))

    def pick_best(self) -> Pick:
        """Pick the pattern of the lowest loss so far, ties in order of evaluation.

        Raises:
            InputError: the limits allowed no evaluation.
        """
        if not self.losses:
            raise InputError("`method` could not evaluate a single pattern within its limits")
        best = min(self.losses, key=self.losses.__getitem__)
        return Pick(
            best,
            cost=self.cost,
            evaluations=self.evaluations,
            work=self.work,
            losses=dict(self.losses),
        )
