"""The compensation stage: what is written before each cut solved anew, if that lowers the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evop_deap.recovery.compensation.form_names import OFF
from evop_deap.runs.compensating import compensated, untouched
from evop_deap.runs.context import Context
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.pruned_model import PrunedModel
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.validate import Validated
from evop_deap.space import dropped_units


@dataclass(frozen=True, eq=False)
class Compensated:
    """What compensation came to.

    Attributes:
        about: what the result says of it, in plain JSON values; None where it is off.
        made: the compensated model; None where it is not taken, or an earlier process made it.
    """

    about: Mapping[str, Any] | None
    made: PrunedModel | None = None

    @property
    def taken(self) -> bool:
        """Whether the compensated model is what the run hands over."""
        return self.about is not None and bool(self.about["taken"])

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"about": self.about}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Compensated:
        """What compensation came to, of which `as_dict` gave these values."""
        return cls(plain["about"])


def compensate_pattern(context: Context, before: Outputs) -> Compensated:
    """Compensate the pattern that was named, and keep that where validation text says so."""
    form = context.config.compensate
    if form == OFF:
        return Compensated(None)
    if before[Found].pruned is not None:
        return Compensated(untouched(form, "blocks are merged, which no pattern describes"))
    context.progress.stage("compensating for what goes")
    dropped = dropped_units(before[Validated].pattern)
    return Compensated(*compensated(context.loaded, context.anatomy, dropped, context.text, form))


def made_again(context: Context, before: Outputs) -> PrunedModel:
    """The compensated model that an earlier process of the same run has made."""
    made = compensate_pattern(context, before).made
    assert made is not None
    return made
