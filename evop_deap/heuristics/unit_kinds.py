"""What the units of a space are, and which of them the budget lets go together."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.space import SearchSpace, Unit

ATTENTION, MLP = "attn", "mlp"


def granularity_of(units: Sequence[Unit]) -> str:
    """ "half" where some of the units are halves of blocks, else "block"."""
    return "half" if any(unit.kind for unit in units) else "block"


def fits(space: SearchSpace, dropped: Sequence[int], unit: int) -> bool:
    """Whether the budget lets `unit` go once these are gone."""
    wanted = {*dropped, unit}
    rest = [other for other in space.droppable if other not in wanted]
    pattern = space.greedy([*dropped, unit, *rest])
    return not any(pattern[one] for one in wanted)
