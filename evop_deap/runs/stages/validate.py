"""The last look: which of the patterns that calibration text cannot tell apart is named.

Patterns whose paired difference from the best is within its standard error are judged on
validation windows as well, which are of documents that are neither calibrated nor reported on.
The lowest mean loss over calibration and validation windows together wins. Together, for both
are draws of the same text and more windows know more; that the search has picked its best on
the calibration windows flatters all of its near-equals alike, and leaves their order as good
as any other. Replayed on known losses of the demo model with 8 windows of 128 tokens to calibrate
on and 8 to validate, 3 (6) of 30 blocks dropped, the pattern named is 0.0135 (0.0095) nats worse
than the best by calibration text alone, 0.0037 (0.0060) by validation text alone, and 0.0032
(0.0050) by both (`benchmarks/near_equals.py`).

Half-precision losses carry rounding as large as what good patterns differ by. Where a model was
searched in such a format, all finalists are judged in float32 first, and everything after that is
in float32, too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evop_deap.settings.search_config import SEARCH, SearchConfig
from evop_deap.evolution.state import EvolutionState
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.fitness.weighted import WeightedEvaluator
from evop_deap.runs.near_equals import Finalist, near_the_best, paired_difference
from evop_deap.runs.search_evaluator import Judge
from evop_deap.runs.stages.prepare import Subject
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.calibration import CalibrationSet, WindowSet
    from evop_deap.models.anatomy.parts import Anatomy

Rows = Mapping[Pattern, NDArray[np.float64]]
"""(windows,) sums of patterns, in nats."""


@dataclass(frozen=True)
class LastLook:
    """What the last look came to.

    Attributes:
        finalists: the pattern named first, then those that it was hardly told from.
        contenders: how many of them calibration text could not tell from the best: 1 where
            there was nothing to decide.
        cost: work spent on it, in dense-forward equivalents over the calibration windows.
    """

    finalists: tuple[Finalist, ...]
    contenders: int = 1
    cost: float = 0.0


def settle(
    config: SearchConfig, subject: Subject, judge: Judge, state: EvolutionState, *, merged: bool
) -> LastLook:
    """The pattern that a run names: what a published rule picks stands as it is.

    Args:
        config: the effective settings.
        subject: what was searched.
        judge: the evaluator of the search.
        state: its end.
        merged: whether blocks were merged, so that a pattern does not tell the whole model.
    """
    if merged:
        return LastLook((Finalist(state.best.pattern, state.best.loss, 0.0, 0.0),))
    rows = judge.evaluator.rows
    near = near_the_best(state.losses, rows, judge.evaluator.tokens)
    if config.method != SEARCH:
        return LastLook(tuple(near))
    return last_look(
        near,
        rows,
        model=subject.loaded.model,
        anatomy=subject.anatomy,
        text=subject.text,
        fitness=config.fitness,
    )


def last_look(
    finalists: Sequence[Finalist],
    rows: Rows,
    *,
    model: PreTrainedModel,
    anatomy: Anatomy,
    text: CalibrationSet,
    fitness: str,
) -> LastLook:
    """Decide between near-equals, in float32 and on validation windows as far as that is news.

    Args:
        finalists: best first, as searched.
        rows: (calibration windows,) sums of these, as searched.
        model: the dense model.
        anatomy: its blocks or halves.
        text: the windows; without any for validation, calibration text decides.
        fitness: "ce" or "kl".
    """
    import torch

    from evop_deap.fitness.model.reference import ReferenceEvaluator
    from evop_deap.models.loading.precision import computing_in_float32

    if len(finalists) < 2:
        return LastLook(tuple(finalists))

    def judged(
        patterns: Sequence[Pattern],
        windows: WindowSet,
        weights: NDArray[np.float64] | None = None,
    ) -> Evaluation:
        evaluator: Evaluator = ReferenceEvaluator(model, anatomy, windows.tokens, fitness=fitness)
        if weights is not None:
            evaluator = WeightedEvaluator(evaluator, weights)
        return evaluator.evaluate(patterns)

    found, cost = tuple(finalists), 0.0
    with computing_in_float32(model):
        if model.dtype in (torch.bfloat16, torch.float16):
            again = judged(_patterns(found), text.calibration, text.weights)
            rows, cost = _by_pattern(found, again), again.cost
            found = _ranked_in_float32(found, again)
        count, length = text.calibration.tokens.shape
        tokens = np.full(count, length - 1)
        rivals = contenders(found, rows, tokens)
        if len(rivals) < 2 or text.validation is None:
            return LastLook(found, len(rivals), cost)
        more = judged(_patterns(rivals), text.validation)
    cost += more.cost * text.validation.tokens.size / text.calibration.tokens.size
    ranked = ranked_on_both(rivals, rows, tokens, more)
    named = {finalist.pattern for finalist in ranked}
    rest = (finalist for finalist in found if finalist.pattern not in named)
    return LastLook((*ranked, *rest), len(rivals), cost)


def contenders(
    finalists: Sequence[Finalist], rows: Rows, tokens: NDArray[np.int64]
) -> list[Finalist]:
    """The first finalist, and those whose paired difference from it is within its standard error.

    Args:
        finalists: best first.
        rows: (windows,) sums of these.
        tokens: (windows,) predicted tokens of each window.
    """
    best, *others = finalists
    near = [best]
    for finalist in others:
        behind, error = paired_difference(rows[finalist.pattern], rows[best.pattern], tokens)
        if behind <= error:
            near.append(finalist)
    return near


def ranked_on_both(
    finalists: Sequence[Finalist], rows: Rows, tokens: NDArray[np.int64], more: Evaluation
) -> list[Finalist]:
    """The finalists by their mean loss over calibration and validation windows together.

    A finalist without a finite loss on validation windows cannot win against one that has it; of
    equals the first stays first.

    Args:
        finalists: in the order of `more`.
        rows: (calibration windows,) sums of these.
        tokens: (calibration windows,) predicted tokens of each.
        more: the same patterns on validation windows.
    """
    whole = tokens.sum() + more.tokens.sum()
    judged = []
    for finalist, sums, loss in zip(finalists, more.sums, more.losses.tolist(), strict=True):
        together = float(rows[finalist.pattern].sum() + sums.sum()) / float(whole)
        told = dataclasses.replace(finalist, validation=_finite(loss))
        judged.append((together if math.isfinite(together) else math.inf, told))
    return [finalist for _, finalist in sorted(judged, key=lambda pair: pair[0])]


def _ranked_in_float32(finalists: Sequence[Finalist], again: Evaluation) -> tuple[Finalist, ...]:
    judged = [
        dataclasses.replace(finalist, float32=_finite(loss))
        for finalist, loss in zip(finalists, again.losses.tolist(), strict=True)
    ]
    return tuple(sorted(judged, key=lambda f: math.inf if f.float32 is None else f.float32))


def _patterns(finalists: Sequence[Finalist]) -> list[Pattern]:
    return [finalist.pattern for finalist in finalists]


def _by_pattern(finalists: Sequence[Finalist], found: Evaluation) -> Rows:
    return dict(zip(_patterns(finalists), found.sums, strict=True))


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
