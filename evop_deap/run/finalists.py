"""The last look: patterns too near the best to tell apart, and which of them is named.

Half-precision losses carry rounding as large as what good patterns differ by. Where a model was
searched in such a format, the finalists are judged once more in float32, on all windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evop_deap.fitness.evaluation import Evaluator
from evop_deap.fitness.weighted import WeightedEvaluator
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.calibration import WindowSet
    from evop_deap.models.anatomy import Anatomy

MOST = 8
_ERRORS = 3.0  # standard errors within which two patterns count as near


@dataclass(frozen=True)
class Finalist:
    """A pattern that may as well be the best.

    Attributes:
        pattern: 1 = keep.
        loss: in nats a token, as the search saw it.
        behind: mean difference from the best, window by window, in nats a token.
        error: standard error of that difference.
        float32: loss in float32 where it was judged once more, else None.
    """

    pattern: Pattern
    loss: float
    behind: float
    error: float
    float32: float | None = None


def near_the_best(
    losses: Mapping[Pattern, float],
    rows: Mapping[Pattern, NDArray[np.float64]],
    tokens: NDArray[np.int64],
) -> list[Finalist]:
    """The best pattern and those within three standard errors of it, best first, at most eight.

    Args:
        losses: nats a token of patterns judged on all windows.
        rows: (windows,) sums of at least these patterns, in nats.
        tokens: (windows,) predicted tokens of each.
    """
    ranked = sorted(losses, key=losses.__getitem__)[: 4 * MOST]
    best = rows[ranked[0]] / tokens
    found = []
    for pattern in ranked:
        if not np.isfinite(rows[pattern]).all():
            break
        difference = rows[pattern] / tokens - best  # (windows,)
        mean, error = float(difference.mean()), _standard_error(difference)
        if mean <= _ERRORS * error or pattern == ranked[0]:
            found.append(Finalist(pattern, losses[pattern], mean, error))
    return found[:MOST] or [Finalist(ranked[0], losses[ranked[0]], 0.0, 0.0)]


def judged_in_float32(
    finalists: Sequence[Finalist],
    model: PreTrainedModel,
    anatomy: Anatomy,
    windows: WindowSet,
    fitness: str,
    weights: NDArray[np.float64] | None = None,
) -> list[Finalist]:
    """The finalists by their losses in float32, best first; as they are where that is no news."""
    import dataclasses

    import torch

    from evop_deap.fitness.reference import ReferenceEvaluator
    from evop_deap.models.precision import computing_in_float32

    if model.dtype not in (torch.bfloat16, torch.float16) or len(finalists) < 2:
        return list(finalists)
    with computing_in_float32(model):
        evaluator: Evaluator = ReferenceEvaluator(model, anatomy, windows.tokens, fitness=fitness)
        if weights is not None:
            evaluator = WeightedEvaluator(evaluator, weights)
        losses = evaluator.evaluate([finalist.pattern for finalist in finalists]).losses.tolist()
    judged = [
        dataclasses.replace(finalist, float32=loss if math.isfinite(loss) else None)
        for finalist, loss in zip(finalists, losses, strict=True)
    ]
    return sorted(judged, key=lambda f: math.inf if f.float32 is None else f.float32)


def _standard_error(difference: NDArray[np.float64]) -> float:
    count = len(difference)
    return float(difference.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0
