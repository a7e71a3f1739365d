"""An evaluator that charges what a search would have cost alone, whatever others have paid for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evop_deap.fitness.protocol import CostAlone, Evaluation, Evaluator
from evop_deap.space import Pattern


class ChargedEvaluator:
    """Replaces the costs of `evaluator` by those of the same calls without shared losses.

    Limits of cost then end a search at the same pattern with any cache. `Evaluation.work` still
    says what was executed.

    Args:
        evaluator: evaluates patterns; it may know losses that other searches have paid for.
        alone: the costs without them.
    """

    def __init__(self, evaluator: Evaluator, alone: CostAlone) -> None:
        self._evaluator = evaluator
        self._alone = alone

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index."""
        found = self._evaluator.evaluate(patterns, windows)
        return replace(found, costs=self._alone.costs(patterns, windows))
