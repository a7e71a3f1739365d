"""Losses of a few patterns on other windows than those of the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evop_deap.fitness.protocol import Evaluation
from evop_deap.fitness.weighted import scaled
from evop_deap.runs.context import Context
from evop_deap.space import Pattern

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evop_deap.fitness.model.evaluators import Evaluators
    from evop_deap.fitness.model.window_kinds import Windows


def evaluate_on(
    context: Context,
    evaluators: Evaluators,
    tokens: Windows,
    patterns: Sequence[Pattern],
    weights: NDArray[np.float64] | None = None,
) -> Evaluation:
    """Evaluate patterns on some windows, with the losses that this or other runs have stored.

    Args:
        context: the run.
        evaluators: the evaluators of its model, with or without compensation.
        tokens: (windows, length) token ids, or questions.
        patterns: the patterns, at least one.
        weights: (windows,) weight of each window; None for equal weights.
    """
    found = evaluators.evaluate(
        tokens,
        patterns,
        memory_budget=context.config.memory_budget * 2**20,
        share=context.evaluator.share,
        on_fallback=context.progress.stage,
    )
    return replace(found, sums=scaled(found.sums, weights))
