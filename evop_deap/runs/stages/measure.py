"""The measure stage: cross-entropy of the result and other patterns on both texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from evop_deap.base.numbers import finite_or_worst
from evop_deap.fitness.weighted import scaled
from evop_deap.runs.context import Context
from evop_deap.runs.other_windows import evaluate_on
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
    from evop_deap.fitness.model.evaluators import Evaluators


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


def measure(context: Context, before: Outputs) -> Measured:
    """Measure the dense model, the pruned model and two patterns to compare it with.

    These are the best pick of a heuristic, and the runner-up. All are compensated if the model
    that is exported is, and if the search evaluates patterns so; else none is.
    """
    context.progress.stage("measuring on held-out text")
    found, validated = before[Found], before[Validated]
    space, text, best = context.space, context.text, validated.pattern
    pruned = uncompensated_model(context, before)
    pick = next(iter(picked_by_heuristics(found).items()), None)
    second = None if pruned.changed else second_best(found.losses, validated.near_equals)
    others = [*([pick[0]] if pick else []), *([second] if second else [])]
    beside = context.compensator if before[Compensated].taken else None
    own = list(dict.fromkeys([space.dense, best, *([] if beside else others)]))
    seen = _calibration_sums(context, own, pruned)
    held = _sums(context, context.evaluators_of("ce"), text.heldout, own, pruned)
    pairs = seen, held
    if beside and others:
        light = context.evaluators_of("ce", beside)
        patterns = list(dict.fromkeys([best, *others]))
        known = _known(context) or _sums(context, light, text.calibration, patterns)
        pairs = known, _sums(context, light, text.heldout, patterns)
    calibration = _text_loss(text.calibration, space.dense, best, *seen)
    heldout = _text_loss(text.heldout, space.dense, best, *held)
    if before[Compensated].taken:
        made, budget = current_model(context, before), context.config.memory_budget * 2**20
        calibration = _and_compensated(calibration, made, text.calibration, budget, text.weights)
        heldout = _and_compensated(heldout, made, text.heldout, budget)
    told = partial(rival, best, space=space, texts=pairs, compensated=beside is not None)
    return Measured(
        calibration=calibration,
        heldout=heldout,
        runner_up=told(second) if second else None,
        heuristics=(told(pick[0], names=pick[1]),) if pick else (),
    )


def _known(context: Context) -> Losses | None:
    """Return the sums that the search knows; None where they are not cross-entropy."""
    searched = context.evaluator.cached
    return (searched.rows, searched.tokens) if context.config.fitness == "ce" else None


def _calibration_sums(context: Context, patterns: Sequence[Pattern], pruned: PrunedModel) -> Losses:
    """Return the sums of patterns without compensation, the dense one first, on calibration text.

    A search that compensates patterns knows those of the dense one alone.
    """
    known, text = _known(context), context.text
    plain = context.evaluators_of("ce")
    if known and not (pruned.changed or context.compensator):
        return known
    if known and context.compensator:
        rows, tokens = _sums(context, plain, text.calibration, patterns[1:], pruned)
        return {**rows, patterns[0]: known[0][patterns[0]]}, tokens
    return _sums(context, plain, text.calibration, patterns, pruned)


def _sums(
    context: Context,
    evaluators: Evaluators,
    windows: WindowSet,
    patterns: Sequence[Pattern],
    pruned: PrunedModel | None = None,
) -> Losses:
    """Return the (windows,) sums of each pattern, and the windows' predicted tokens.

    A changed model takes the place of the last pattern.
    """
    weights = context.text.weights if windows is context.text.calibration else None
    changed = pruned is not None and pruned.changed
    asked = patterns[:-1] if changed else patterns
    rows: dict[Pattern, NDArray[np.float64]] = {}
    if asked:
        found = evaluate_on(context, evaluators, windows.tokens, asked, weights)
        rows = dict(zip(asked, found.sums, strict=True))
    if pruned is not None and pruned.changed:
        rows[patterns[-1]] = scaled(window_sums_of(pruned, windows.tokens), weights)
    return rows, _predicted(windows)


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
    budget: int,
    weights: NDArray[np.float64] | None = None,
) -> TextLoss:
    """The same with the loss of the compensated model."""
    sums = scaled(window_sums_of(made, windows.tokens, budget), weights)
    return replace(text, loss={**text.loss, "compensated": _mean(sums, _predicted(windows))})


def _predicted(windows: WindowSet) -> NDArray[np.int64]:
    """Return the (windows,) number of predicted tokens."""
    count, length = windows.tokens.shape
    return np.full(count, length - 1, dtype=np.int64)


def _mean(sums: NDArray[np.float64], tokens: NDArray[np.int64]) -> float:
    return finite_or_worst(float(sums.sum() / tokens.sum()))
