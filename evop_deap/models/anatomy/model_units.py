"""The units of a model: what a gene switches, and what each weighs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evop_deap.space import Unit

if TYPE_CHECKING:
    from evop_deap.models.anatomy.find_anatomy import Anatomy


def model_units(anatomy: Anatomy, kv_bytes: Sequence[int] = ()) -> tuple[Unit, ...]:
    """The blocks "0", "1" …, or their halves "0.attn", "0.mlp", "1.attn" …, in order.

    Args:
        anatomy: of the model, at the granularity of the units.
        kv_bytes: (blocks,) of the key-value cache, where that is what a budget speaks of.
    """
    held = tuple(kv_bytes) or (0,) * len(anatomy.blocks)
    if not anatomy.halves:
        return tuple(
            Unit(str(b.index), b.parameters, b.work, size)
            for b, size in zip(anatomy.blocks, held, strict=True)
        )
    return tuple(
        Unit(f"{block.index}.{half.kind}", half.parameters, half.work, size)
        for block, halves, size in zip(anatomy.blocks, anatomy.halves, held, strict=True)
        for half, size in ((halves.attention, size), (halves.mlp, 0))
    )
