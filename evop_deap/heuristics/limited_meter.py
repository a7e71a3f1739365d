"""A meter that says when a heuristic that searches has had enough, and what it has found."""

from __future__ import annotations

import time

from evop_deap.base.errors import InputError
from evop_deap.fitness.meter import Meter
from evop_deap.heuristics.task import Pick, Task


class LimitedMeter(Meter):
    """The task's evaluator, counted against the task's limits."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.evaluator, space=task.space)
        self._task = task
        self._began = time.monotonic()

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
            raise InputError("`method` found no room to evaluate a pattern within its limits")
        best = min(self.losses, key=self.losses.__getitem__)
        return Pick(
            best,
            cost=self.cost,
            evaluations=self.evaluations,
            work=self.work,
            losses=dict(self.losses),
        )
