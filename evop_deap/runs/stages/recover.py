"""The recovery stage: compensate the pattern, and keep that if it lowers the validation loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evop_deap.base.typed import typed
from evop_deap.recovery.compensation.form_names import OFF
from evop_deap.runs.compensating import compensated, untouched
from evop_deap.runs.context import Context
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.pruned_model import PrunedModel
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.validate import Validated
from evop_deap.runs.storage.file_shapes import CompensationDone
from evop_deap.space import dropped_units


@dataclass(frozen=True, eq=False)
class Compensated:
    """The outcome of compensation.

    Attributes:
        about: the outcome as plain JSON values; None where compensation is off.
        made: the compensated model; None if it is not taken, or an earlier process made it.
    """

    about: Mapping[str, Any] | None
    made: PrunedModel | None = None

    @property
    def taken(self) -> bool:
        """Whether the run exports the compensated model."""
        return self.about is not None and bool(self.about["taken"])

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"about": self.about}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Compensated:
        """Return the outcome that `as_dict` made these values from.

        Raises:
            InputError: a value is missing or of another type.
        """
        return cls(typed(_Stored, plain).about)


@dataclass(frozen=True)
class _Stored:
    """What is stored of an outcome: all but the model."""

    about: CompensationDone | None


def compensate_pattern(context: Context, before: Outputs) -> Compensated:
    """Compensate the validated pattern, and keep that if it lowers the validation loss."""
    form = context.config.compensate
    if form == OFF:
        return Compensated(None)
    if before[Found].pruned is not None:
        return Compensated(untouched(form, "blocks are merged, which no pattern describes"))
    if before[Validated].is_exhausted:
        return Compensated(untouched(form, "no pattern found can be exported"))
    context.progress.stage("compensating")
    dropped = dropped_units(before[Validated].pattern)
    budget = context.config.memory_budget * 2**20
    return Compensated(
        *compensated(context.loaded, context.anatomy, dropped, context.text, form, budget)
    )


def made_again(context: Context, before: Outputs) -> PrunedModel:
    """Return the compensated model once more, which an earlier process of this run made."""
    made = compensate_pattern(context, before).made
    assert made is not None
    return made
