"""Blocks behind which a decoder adds features of an image by the block's number.

They must keep their numbers, which no pass over text alone would show.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.space import Constraint

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def image_blocks(model: PreTrainedModel, anatomy: Anatomy) -> tuple[Constraint, ...]:
    """Return the constraint that these blocks stay; none if the model has no such blocks."""
    count = _number(model)
    units = [i for i, part in enumerate(anatomy.parts) if part.block.index < count]
    if not units:
        return ()
    which = "all blocks" if count >= len(anatomy.blocks) else f"the first {count} blocks"
    reason = f"{which} must stay: {type(model).__name__} adds features of an image behind them"
    return (Constraint(frozenset(units), len(units), reason),)


def check_image_blocks(model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]) -> None:
    """Refuse to drop such a block.

    Raises:
        UnsupportedModelError: a unit of such a block is dropped.
    """
    for constraint in image_blocks(model, anatomy):
        if not constraint.allows(dropped):
            raise UnsupportedModelError(constraint.reason)


def _number(model: PreTrainedModel) -> int:
    """Return the number of such blocks, counted from the first; all where it is not known."""
    decoder: Any = model
    if model.config.get_text_config(decoder=True) is model.config:
        return 0
    if "deepstack" not in " ".join(inspect.signature(decoder.get_decoder().forward).parameters):
        return 0
    towers = [getattr(model.config, name, None) for name in model.config.sub_configs]
    found = [getattr(tower, "deepstack_visual_indexes", None) for tower in towers]
    layers = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    return next((len(indexes) for indexes in found if indexes is not None), layers)
