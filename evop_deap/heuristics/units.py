"""What a unit is, by its name: "12" is a block, "12.attn" and "12.mlp" are its halves."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.space import SearchSpace, Unit

ATTENTION = "attn"


def block_of(unit: Unit) -> str:
    """The name of the block that a unit is, or is a half of."""
    return unit.name.partition(".")[0]


def kind_of(unit: Unit) -> str:
    """ "attn" or "mlp" for a half, nothing for a block."""
    return unit.name.partition(".")[2]


def granularity_of(units: Sequence[Unit]) -> str:
    """ "half" where some of the units are halves of blocks, else "block"."""
    return "half" if any(kind_of(unit) for unit in units) else "block"


def fits(space: SearchSpace, dropped: Sequence[int], unit: int) -> bool:
    """Whether the budget lets `unit` go once these are gone."""
    wanted = {*dropped, unit}
    rest = [other for other in space.droppable if other not in wanted]
    pattern = space.greedy([*dropped, unit, *rest])
    return not any(pattern[one] for one in wanted)
