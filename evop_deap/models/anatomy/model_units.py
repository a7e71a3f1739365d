"""The units of a model and their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.space import Unit


def model_units(anatomy: Anatomy, kv_bytes: Sequence[int] = ()) -> tuple[Unit, ...]:
    """Return the blocks "0", "1" …, or their halves "0.attn", "0.mlp", "1.attn" …, in order.

    Args:
        anatomy: anatomy of the model, at the granularity of the units.
        kv_bytes: (blocks,) bytes of the key-value cache, if the budget counts them.
    """
    held = tuple(kv_bytes) or (0,) * len(anatomy.blocks)
    return tuple(
        replace(part.unit, kv_bytes=held[part.block.index] * part.cache_share)
        for part in anatomy.parts
    )
