"""Compensation of a pruned model, kept only if it lowers the loss on validation text."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.base.numbers import finite_or_none
from evop_deap.recovery.compensation.form_names import OFF, SCALE
from evop_deap.runs.pruned_model import PrunedModel, loss_of_changes
from evop_deap.settings.heuristic_names import SEARCH
from evop_deap.settings.search_config import SearchConfig

if TYPE_CHECKING:
    from evop_deap.calibration import CalibrationSet
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel
    from evop_deap.recovery.compensation.compensate import Compensation
    from evop_deap.recovery.compensation.search_compensator import SearchCompensator


PATTERN_ALONE = (
    "The pattern alone: the checkpoint in the run's model/ is compensated, which no recipe holds."
)

SEARCH_TOKENS = 8192
"""Tokens that a search fits on: enough to rank patterns by."""


def search_compensator(
    config: SearchConfig,
    loaded: LoadedModel,
    anatomy: Anatomy,
    text: CalibrationSet,
    most: int,
) -> SearchCompensator | None:
    """Return what compensates the patterns of a search.

    None where the search evaluates patterns as they are: a heuristic picks, a matrix is not to be
    solved anew, weights are streamed, or there is no text for that but the calibration windows.
    """
    from evop_deap.recovery.compensation.search_compensator import SearchCompensator

    form, windows = config.compensate, text.compensation
    if not asks_for_compensator(config) or windows is None or is_streamed(loaded):
        return None
    few = windows.tokens[: SEARCH_TOKENS // windows.tokens.shape[1]]
    if len(few) < 2:
        return None
    return SearchCompensator(loaded.model, anatomy, few, most=most, form=form)


def asks_for_compensator(config: SearchConfig) -> bool:
    """Return whether the patterns of a search are to be compensated, where weights are at hand."""
    return config.method == SEARCH and config.compensate not in (OFF, SCALE)


def is_streamed(loaded: LoadedModel) -> bool:
    """Return whether the weights of a model stay in their files."""
    from evop_deap.models.streaming.streamed_weights import weights_of

    return weights_of(loaded.model) is not None


def compensated(
    loaded: LoadedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    text: CalibrationSet,
    form: str,
    memory_budget: int | None = None,
) -> tuple[dict[str, Any], PrunedModel | None]:
    """Compensate, and compare with the pruned model on validation text.

    Args:
        loaded: the dense model.
        anatomy: its anatomy, at the granularity of the units.
        dropped: positions of the dropped units.
        text: has windows to compensate on and to validate on; calibration windows stand in for
            either.
        form: the form asked for.
        memory_budget: largest size of hidden states in bytes; None for that of `compensate`.

    Returns:
        The outcome as plain JSON values, and the compensated model; None if it is no better, or
        nothing can be compensated. The outcome has the form "asked" for; whether it was "taken",
        with the "reason" if not; the "cuts", each from `CutRecord.as_dict`; the number of
        "windows" of "window" tokens, their "fingerprint", and the number "left_out" for states
        that are not finite; the losses on the windows kept "aside" and on "validation" text, in
        nats a token; and the "cost", in the unit of the search's.
    """
    from evop_deap.recovery.compensation.compensate import compensate

    fitted_on = text.compensation or text.calibration
    try:
        made = compensate(
            loaded.model,
            anatomy,
            dropped,
            fitted_on.tokens,
            form=form,
            stored=loaded.stored_dtype,
            **({} if memory_budget is None else {"memory_budget": memory_budget}),
        )
    except (InputError, UnsupportedModelError) as error:
        return untouched(form, str(error)), None
    by = text.validation or text.calibration
    before, after = (
        loss_of_changes(loaded.model, anatomy, dropped, changes, by.tokens, memory_budget)
        for changes in ({}, made.changes)
    )
    better = bool(made.changes) and after < before
    why = "it does not lower the loss on validation text" if made.changes else "no cut gains by it"
    about = {
        **untouched(form, None if better else why),
        "taken": better,
        "cuts": [cut.as_dict() for cut in made.cuts],
        "windows": made.windows,
        "window": made.window,
        "fingerprint": fitted_on.fingerprint,
        "left_out": made.left_out,
        "aside": {"pruned": finite_or_none(made.before), "compensated": finite_or_none(made.after)},
        "validation": {
            "pruned": finite_or_none(before),
            "compensated": finite_or_none(after),
            "windows": len(by.tokens),
            "fingerprint": by.fingerprint,
        },
        "cost": _cost(made, anatomy, by.tokens.size, text.calibration.tokens.size),
    }
    if not better:
        return about, None
    return about, PrunedModel(loaded.model, anatomy, tuple(dropped), True, made.changes)


def untouched(form: str, reason: str | None) -> dict[str, Any]:
    """Return the outcome of a compensation that was not done."""
    return {
        "asked": form,
        "taken": False,
        "reason": reason,
        "cuts": [],
        "windows": 0,
        "window": None,
        "fingerprint": None,
        "left_out": 0,
        "aside": None,
        "validation": None,
        "cost": 0.0,
    }


def _cost(made: Compensation, anatomy: Anatomy, validated: int, calibrated: int) -> float:
    """Return dense-forward equivalents over the calibration tokens, validation included."""
    spent = made.work + 2 * made.pass_work * validated
    return spent / (anatomy.dense_work * calibrated)
