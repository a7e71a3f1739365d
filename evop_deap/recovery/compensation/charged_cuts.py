"""An evaluator that charges a pattern for the fits of its cuts that no earlier pattern had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from evop_deap.recovery.compensation.search_compensator import SearchCompensator


class ChargedCuts:
    """Adds the cost of fits to that of evaluations.

    The charge depends only on the patterns asked for so far, so a search that was killed and
    resumed costs as much as one that was not.

    Args:
        evaluator: evaluates compensated patterns.
        compensator: fits their cuts.
        unit: multiply-adds at a cost of 1.
    """

    def __init__(self, evaluator: Evaluator, compensator: SearchCompensator, unit: float) -> None:
        self._evaluator, self._compensator, self._unit = evaluator, compensator, unit
        self._charged: set[int] = set()
        self._executed: set[int] = set()

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index."""
        found = self._evaluator.evaluate(patterns, windows)
        fits = np.array([self._charge(pattern) for pattern in patterns]) / self._unit
        executed = found.work.executed + self._execute() / self._unit
        return replace(found, costs=found.costs + fits, work=replace(found.work, executed=executed))

    def restore(self, patterns: Iterable[Pattern]) -> None:
        """Take these patterns as charged."""
        for pattern in patterns:
            self._charged |= self._compensator.needed(pattern)
        self._executed |= self._charged

    def _charge(self, pattern: Pattern) -> float:
        """Return the multiply-adds of fits that this pattern is the first to need."""
        new = self._compensator.needed(pattern) - self._charged
        self._charged |= new
        return float(sum(map(self._compensator.work_of, new)))

    def _execute(self) -> float:
        """Return the multiply-adds of fits that were charged and have been made since."""
        new = (self._charged & self._compensator.fitted) - self._executed
        dense = self._compensator.work if new and not self._executed else 0
        self._executed |= new
        return float(dense + sum(map(self._compensator.work_of, new)))
