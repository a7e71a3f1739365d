"""The measure stage: cross-entropy of the result and other patterns on both texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from evop_deap.base.numbers import finite_or_worst
from evop_deap.base.typed import typed
from evop_deap.fitness.weighted import scaled
from evop_deap.runs.context import Context
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.pruned_model import PrunedModel, window_sums_of
from evop_deap.runs.stages.compare import Losses, Rows, picked_by_heuristics, rival, second_best
from evop_deap.runs.stages.current_model import current_model, uncompensated_model
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.recover import Compensated
from evop_deap.runs.stages.validate import Validated
from evop_deap.runs.storage.text_losses import Rival, TextLoss
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evop_deap.calibration import WindowSet


@dataclass(frozen=True)
class Measured:
    """Losses of the dense model, the pruned model and other patterns on both texts.

    Attributes:
        calibration: losses on the calibration windows.
        heldout: losses on held-out windows.
        runner_up: the second best pattern; None where no other was evaluated.
        heuristics: seed patterns that heuristics picked, the best first.

    Both texts also have a loss of the "compensated" model if there is one.
    """

    calibration: TextLoss
    heldout: TextLoss
    runner_up: Rival | None
    heuristics: tuple[Rival, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "calibration": self.calibration.as_dict(),
            "heldout": self.heldout.as_dict(),
            "runner_up": self.runner_up and self.runner_up.as_dict(),
            "heuristics": [rival.as_dict() for rival in self.heuristics],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Measured:
        """Return the object that `as_dict` made these values from.

        Raises:
            InputError: a value is missing or of another type.
        """
        return typed(cls, plain)


def measure(context: Context, before: Outputs) -> Measured:
    """Measure the dense model, the pruned model and the patterns to compare it with.

    Other patterns are compared as the search evaluates them: with compensation if it has any.
    """
    found, validated = before[Found], before[Validated]
    space, text, best = context.space, context.text, validated.pattern
    pruned = uncompensated_model(context, before)
    names = picked_by_heuristics(found)
    second = None if pruned.changed else second_best(found.losses, validated.near_equals)
    others = [*names, *([second] if second else [])]
    searched, beside = context.evaluator.cached, context.compensator
    known = (searched.rows, searched.tokens) if context.config.fitness == "ce" else None
    # The search knows losses on calibration windows: all of them, or if it compensates patterns,
    # that of the dense model.
    own = list(dict.fromkeys([space.dense, best, *([] if beside else others)]))
    if known and beside:
        rows, tokens = _evaluated(context, text.calibration, [best], pruned, text.weights)
        seen: Losses = {**rows, space.dense: known[0][space.dense]}, tokens
    elif known and not pruned.changed:
        seen = known
    else:
        seen = _evaluated(context, text.calibration, own, pruned, text.weights)
    held = _evaluated(context, text.heldout, own, pruned)
    pairs = _pairs(context, [best, *others], known) if beside and others else (seen, held)
    calibration = _text_loss(text.calibration, space.dense, best, *seen)
    heldout = _text_loss(text.heldout, space.dense, best, *held)
    if before[Compensated].taken:
        made = current_model(context, before)
        calibration = _and_compensated(calibration, made, text.calibration, text.weights)
        heldout = _and_compensated(heldout, made, text.heldout)
    told = partial(rival, best, space=space, texts=pairs, compensated=beside is not None)
    return Measured(
        calibration=calibration,
        heldout=heldout,
        runner_up=told(second) if second else None,
        heuristics=tuple(told(pattern, names=picked) for pattern, picked in names.items()),
    )


def _pairs(
    context: Context, patterns: Sequence[Pattern], known: Losses | None
) -> tuple[Losses, Losses]:
    """Return sums of compensated patterns on calibration and on held-out windows."""
    evaluators, text = context.evaluators_of("ce", context.compensator), context.text
    different = list(dict.fromkeys(patterns))

    def sums(windows: WindowSet, weights: NDArray[np.float64] | None = None) -> Losses:
        found = evaluators.plain(windows.tokens, weights).evaluate(different)
        return dict(zip(different, found.sums, strict=True)), found.tokens

    return known or sums(text.calibration, text.weights), sums(text.heldout)


def _evaluated(
    context: Context,
    windows: WindowSet,
    patterns: Sequence[Pattern],
    pruned: PrunedModel,
    weights: NDArray[np.float64] | None = None,
) -> Losses:
    """Return the (windows,) sums of each pattern, and the windows' predicted tokens.

    A changed model takes the place of the second pattern.
    """
    plain = context.evaluators_of("ce").plain(windows.tokens, weights)
    found = plain.evaluate(patterns[:1] if pruned.changed else patterns)
    sums = list(found.sums)
    if pruned.changed:
        sums.append(scaled(window_sums_of(pruned, windows.tokens), weights))
    return dict(zip(patterns, sums, strict=True)), found.tokens


def _text_loss(
    windows: WindowSet,
    dense: Pattern,
    pruned: Pattern,
    rows: Rows,
    tokens: NDArray[np.int64],
) -> TextLoss:
    count, window = windows.tokens.shape
    both = {"dense": rows[dense], "pruned": rows[pruned]}
    return TextLoss(
        loss={name: _mean(sums, tokens) for name, sums in both.items()},
        tokens=count * (window - 1),
        windows=count,
        window=window,
        fingerprint=windows.fingerprint,
    )


def _and_compensated(
    text: TextLoss,
    made: PrunedModel,
    windows: WindowSet,
    weights: NDArray[np.float64] | None = None,
) -> TextLoss:
    """The same with the loss of the compensated model."""
    sums = scaled(window_sums_of(made, windows.tokens), weights)
    tokens = np.full(len(sums), windows.tokens.shape[1] - 1, dtype=np.int64)
    return replace(text, loss={**text.loss, "compensated": _mean(sums, tokens)})


def _mean(sums: NDArray[np.float64], tokens: NDArray[np.int64]) -> float:
    return finite_or_worst(float(sums.sum() / tokens.sum()))
