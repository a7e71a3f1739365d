"""The parts of a model that a pattern drops, and their names for pattern files."""

from __future__ import annotations

from collections.abc import Collection

from evop_deap.base.errors import InputError
from evop_deap.models.anatomy.parts import Anatomy, Part
from evop_deap.models.formats.drops import Drops


def drops_of(anatomy: Anatomy, dropped: Collection[int]) -> Drops:
    """Return the dropped blocks and sublayers, from unit positions at `anatomy`'s granularity.

    Raises:
        InputError: a position is out of range, or nothing stays.
    """
    n_units = len(anatomy.parts)
    gone = frozenset(dropped)
    invalid = sorted(index for index in gone if not 0 <= index < n_units)
    if invalid:
        raise InputError(
            f"`dropped` must hold {anatomy.granularity} indices from 0 to {n_units - 1}, "
            f"but got {invalid}"
        )
    if len(gone) == n_units:
        raise InputError(f"`dropped` must leave at least one of the {n_units} units")
    return Drops.named(len(anatomy.blocks), (anatomy.parts[unit].name for unit in gone))


def dropped_parts(anatomy: Anatomy, dropped: Collection[int]) -> tuple[Part, ...]:
    """Return the dropped parts; a block whose parts are all dropped is one part.

    Raises:
        InputError: a position is out of range, or nothing stays.
    """
    whole = drops_of(anatomy, dropped).blocks
    rest = (anatomy.parts[unit] for unit in sorted(set(dropped)))
    return (
        *(part for part in anatomy.of_blocks.parts if part.block.index in whole),
        *(part for part in rest if part.block.index not in whole),
    )
