"""A plain function of patterns as an evaluator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evop_deap.base.errors import InputError
from evop_deap.fitness.protocol import Evaluation, Evaluator, Work
from evop_deap.space import Pattern

Losses = Callable[[Sequence[Pattern]], Sequence[float]]
"""Returns the loss of each pattern; lower is better."""


@dataclass(frozen=True)
class FunctionEvaluator:
    """An evaluator of one window and one token, with a cost of 1 for each pattern.

    Example:
        >>> FunctionEvaluator(lambda patterns: [sum(p) for p in patterns]).evaluate([(1, 0)]).losses
        array([1.])

    Raises:
        InputError: from `evaluate`, if the function does not return a number for each pattern.
    """

    function: Losses

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on the window, or on none."""
        asked = [0] if windows is None else list(windows)
        found = list(self.function(patterns)) if len(patterns) else []
        if len(found) != len(patterns):
            raise InputError(
                f"`evaluator` must return a loss for each of {len(patterns)} patterns, "
                f"but returned {len(found)}"
            )
        try:
            losses = np.array(found, dtype=float).reshape(len(found), 1)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"`evaluator` must return a number for each pattern, but returned {found[0]!r}"
            ) from error
        costs = np.full(len(found), float(len(asked)))
        tokens = np.ones(1, dtype=np.int64)[asked]
        return Evaluation(losses[:, asked], tokens, costs, Work(executed=float(costs.sum())))


def as_evaluator(evaluator: Evaluator | Losses) -> Evaluator:
    """Return an evaluator as it is, and a function as a `FunctionEvaluator`."""
    return evaluator if hasattr(evaluator, "evaluate") else FunctionEvaluator(evaluator)
