"""The units of a model: what a gene switches, and what each weighs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.space import Unit

if TYPE_CHECKING:
    from evop_deap.models.anatomy import Anatomy


def model_units(anatomy: Anatomy) -> tuple[Unit, ...]:
    """The blocks "0", "1" …, or their halves "0.attn", "0.mlp", "1.attn" …, in order."""
    if not anatomy.halves:
        return tuple(Unit(str(b.index), b.parameters, b.work) for b in anatomy.blocks)
    return tuple(
        Unit(f"{block.index}.{half.kind}", half.parameters, half.work)
        for block, halves in zip(anatomy.blocks, anatomy.halves, strict=True)
        for half in (halves.attention, halves.mlp)
    )
