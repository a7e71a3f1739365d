"""The validation stage: choose among patterns that calibration text cannot tell apart.

Near-equals, whose paired difference from the best is within its standard error, are also evaluated
on validation windows. These are from documents used for neither calibration nor the report. The
pattern with the lowest mean loss over calibration and validation windows together wins. Both sets
are samples of the same text, and more windows give a smaller error. The search has selected on
calibration windows, which flatters all near-equals alike and favours none of them. Replayed on
known losses of the demo model with 8 windows of 128 tokens to calibrate on and 8 to validate,
3 (6) of 30 blocks dropped, the chosen pattern is 0.0135 (0.0095) nats worse than the best by
calibration text alone, 0.0037 (0.0060) by validation text alone, and 0.0032 (0.0050) by both
(`benchmarks/calibration/near_equals.py`).

All losses are in the dtype of the search. Rounding in bfloat16 moves the loss of a pattern of the
demo model by about a thousandth of a nat, a tenth of what 2,048 tokens of text can tell apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.formatting import counted
from evop_deap.base.numbers import finite_or_none, finite_or_worst
from evop_deap.fitness.paired import paired_difference
from evop_deap.fitness.protocol import Evaluation
from evop_deap.runs.context import Context
from evop_deap.runs.other_windows import evaluate_on
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.near_equals import NearEqual, near_the_best
from evop_deap.settings.heuristic_names import SEARCH
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from evop_deap.calibration import CalibrationSet
    from evop_deap.fitness.model.window_kinds import Windows
    from evop_deap.runs.draw_questions import MixedSet, QuestionSet

Rows = Mapping[Pattern, NDArray[np.float64]]
"""Pattern -> (windows,) sums of losses, in nats."""

Evaluate = Callable[["Windows", Sequence[Pattern]], Evaluation]
"""Evaluates patterns on windows."""


@dataclass(frozen=True)
class Validated:
    """The outcome of validation.

    Attributes:
        near_equals: the close patterns, the chosen pattern first.
        tied: number of near-equals, which are within one standard error of the best; 1 where
            there was nothing to decide.
        cost: dense-forward equivalents over the calibration windows.
        executed: those that were executed.
        refused: why each close pattern that was tried cannot be exported, in the order of trying.
            These are the last of `near_equals`.
    """

    near_equals: tuple[NearEqual, ...]
    tied: int = 1
    cost: float = 0.0
    executed: float = 0.0
    refused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.near_equals or len(self.refused) > len(self.near_equals):
            raise ValueError("near_equals must hold a pattern, and all that were refused")

    @property
    def pattern(self) -> Pattern:
        """The chosen pattern."""
        return self.near_equals[0].pattern

    @property
    def is_exhausted(self) -> bool:
        """Whether no close pattern can be exported; the chosen pattern is the best again."""
        return len(self.refused) == len(self.near_equals)

    @property
    def tried(self) -> tuple[tuple[Pattern, str], ...]:
        """The patterns that cannot be exported, each with the reason."""
        last = self.near_equals[len(self.near_equals) - len(self.refused) :]
        patterns = [one.pattern for one in last]
        return tuple(zip(patterns, self.refused, strict=True))

    def after_refusal(self, reason: str) -> Validated:
        """Return the choice of the next close pattern, as the chosen one cannot be exported."""
        first, *others = self.near_equals
        return dataclasses.replace(
            self, near_equals=(*others, first), refused=(*self.refused, reason)
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def validate(context: Context, before: Outputs) -> Validated:
    """Choose the pattern of a run among near-equals; the pick of a heuristic is kept as it is."""
    found, evaluator = before[Found], context.evaluator.cached
    if found.pruned is not None:
        return Validated((NearEqual(found.pattern, found.loss, 0.0, 0.0),))
    near = near_the_best(found.losses, evaluator.rows, evaluator.tokens)
    if context.config.method != SEARCH:
        return Validated(tuple(near))

    def evaluate(windows: Windows, patterns: Sequence[Pattern]) -> Evaluation:
        context.progress.stage(f"validating {counted(len(patterns), 'near-equal')}")
        return evaluate_on(context, context.evaluators, windows, patterns)

    return decide(near, evaluator.rows, evaluate=evaluate, text=context.searched)


def decide(
    near: Sequence[NearEqual],
    rows: Rows,
    *,
    evaluate: Evaluate,
    text: CalibrationSet | QuestionSet | MixedSet,
) -> Validated:
    """Choose between near-equals on validation windows.

    Args:
        near: close patterns of the search, best first.
        rows: their (calibration windows,) sums in the search, in nats.
        evaluate: evaluates patterns on windows.
        text: the windows or questions; without validation windows, calibration windows decide.
    """
    from evop_deap.fitness.model.window_kinds import predicted_tokens, weight_beside

    tokens = predicted_tokens(text.calibration.tokens)
    tied = tied_with_the_best(near, rows, tokens)
    if len(tied) < 2 or text.validation is None:
        return Validated(tuple(near), len(tied))
    patterns = [one.pattern for one in tied]
    more = evaluate(text.validation.tokens, patterns)
    unit = text.validation.tokens.size / text.calibration.tokens.size
    cost, executed = more.cost * unit, more.work.executed * unit
    weight = weight_beside(text.validation.tokens, text.calibration.tokens)
    ranked = ranked_on_both(tied, rows, tokens, more, weight)
    named = {one.pattern for one in ranked}
    rest = (one for one in near if one.pattern not in named)
    return Validated((*ranked, *rest), len(tied), cost, executed)


def tied_with_the_best(
    near: Sequence[NearEqual], rows: Rows, tokens: NDArray[np.int64]
) -> list[NearEqual]:
    """Return the near-equals: the best, and those whose difference from it is within its error.

    Args:
        near: close patterns, best first.
        rows: their (windows,) sums in nats.
        tokens: (windows,) predicted tokens of each window.
    """
    best, *others = near
    tied = [best]
    for other in others:
        behind, error = paired_difference(rows[other.pattern], rows[best.pattern], tokens)
        if behind <= error:
            tied.append(other)
    return tied


def ranked_on_both(
    near: Sequence[NearEqual],
    rows: Rows,
    tokens: NDArray[np.int64],
    more: Evaluation,
    weight: float = 1.0,
) -> list[NearEqual]:
    """Sort near-equals by their mean loss over calibration and validation windows together.

    A loss that is not finite sorts last; ties keep their order.

    Args:
        near: near-equals, in the order of `more`.
        rows: their (calibration windows,) sums in nats.
        tokens: (calibration windows,) predicted tokens of each window.
        more: evaluation of the same patterns on validation windows.
        weight: of a token of a validation window beside one of a calibration window.
    """
    whole = tokens.sum() + weight * more.tokens.sum()
    evaluated = []
    for one, sums, loss in zip(near, more.sums, more.losses.tolist(), strict=True):
        together = float(rows[one.pattern].sum() + weight * sums.sum()) / float(whole)
        told = dataclasses.replace(one, validation=finite_or_none(loss))
        evaluated.append((finite_or_worst(together), told))
    return [one for _, one in sorted(evaluated, key=lambda pair: pair[0])]
