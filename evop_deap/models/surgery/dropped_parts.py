"""What a pattern drops of a model: its parts, and their names for pattern files."""

from __future__ import annotations

from collections.abc import Collection

from evop_deap.base.errors import InputError
from evop_deap.models.anatomy.parts import Anatomy, Part
from evop_deap.models.formats.drops import Drops


def drops_of(anatomy: Anatomy, dropped: Collection[int]) -> Drops:
    """Which blocks and sublayers go, from unit positions at the granularity of `anatomy`.

    Raises:
        InputError: a position that no unit has, or nothing stays.
    """
    n_units = len(anatomy.parts)
    gone = frozenset(dropped)
    strange = sorted(index for index in gone if not 0 <= index < n_units)
    if strange:
        raise InputError(
            f"`dropped` must hold {anatomy.granularity} indices from 0 to {n_units - 1}, "
            f"but got {strange}"
        )
    if len(gone) == n_units:
        raise InputError(f"`dropped` must leave at least one of the {n_units} units")
    return Drops.named(len(anatomy.blocks), (anatomy.parts[unit].name for unit in gone))


def dropped_parts(anatomy: Anatomy, dropped: Collection[int]) -> tuple[Part, ...]:
    """The parts that go; of a block that goes whole, the block in their place.

    Raises:
        InputError: a position that no unit has, or nothing stays.
    """
    whole = drops_of(anatomy, dropped).blocks
    rest = (anatomy.parts[unit] for unit in sorted(set(dropped)))
    return (
        *(part for part in anatomy.of_blocks.parts if part.block.index in whole),
        *(part for part in rest if part.block.index not in whole),
    )
