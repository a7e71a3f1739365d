"""Rehearsals whose success is kept in the user's cache, so that no removal is rehearsed twice."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from evop_deap.base.kept_answers import KeptAnswer, KeptAnswers
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.streaming.computation import computation_of
from evop_deap.models.surgery.dropped_parts import drops_of
from evop_deap.models.surgery.rehearsal import check_removable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Check = Callable[[Collection[int]], None]
"""Given positions of units, raises `UnsupportedModelError` if they cannot be removed."""


def kept_check(
    model: PreTrainedModel, anatomy: Anatomy, fingerprint: str, folder: Path | None
) -> Check:
    """Return `check_removable` of a model that knows the removals that have worked before.

    A refusal is not kept: it may have a cause that passes, such as too little memory.

    Args:
        model: the dense model.
        anatomy: its anatomy, at the granularity of the units.
        fingerprint: hash of the model's content.
        folder: of the answers; None to keep none.
    """
    facts = computation_of(model, fingerprint)
    kept = KeptAnswers(None if facts is None else folder)

    def check(dropped: Collection[int]) -> None:
        names = list(drops_of(anatomy, dropped).names)
        removal = {"computation": facts, "parts": anatomy.granularity, "removed": names}
        if kept.recall(removal) is None:
            check_removable(model, anatomy, dropped)
            kept.keep(removal, KeptAnswer("removable"))

    return check
