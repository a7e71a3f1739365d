"""The picks of a heuristic among sublayers: whole blocks, single sublayers, and a mixture.

A heuristic that scores each sublayer alone may drop the attention of one block and the MLP of
another, or only attention. For a large budget this is far worse than to drop whole blocks, as in
the papers. For a small budget it is better. A mixture often beats both. Perplexities of the demo
model by block influence (512 tokens of WikiText-2 in windows of 64):

    halves dropped   whole blocks   single halves   half of them as blocks
    20 of 60              567             879                 329
     6 of 60              138             118                 129
"""

from __future__ import annotations

from dataclasses import replace

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task
from evop_deap.space import SearchSpace, Unit, dropped_units
from evop_deap.space.unit import units_by_block

_WHOLE = {"": 1.0, " of both": 0.5, " of halves": 0.0}
"""Fraction of the budget spent on whole blocks, by the suffix of the pick's name."""


def sublayer_picks(method: Heuristic, task: Task) -> dict[str, Pick]:
    """Return the heuristic's picks by name; the pick of whole blocks has the heuristic's name.

    The picks have no scores, because these may be of blocks or of sublayers.
    """
    by_blocks, by_units = pick_blocks(method, task), method(task)
    count = len(dropped_units(by_blocks.pattern))
    picks = {}
    for suffix, fraction in _WHOLE.items():
        first = _blocks_within(task.space, by_blocks.order, fraction * count)
        order = (*first, *(unit for unit in by_units.order if unit not in first))
        pick = replace(by_units, pattern=task.space.greedy(order), scores=None, order=order)
        picks[method.name + suffix] = pick
    return picks


def pick_blocks(method: Heuristic, task: Task) -> Pick:
    """Return the heuristic's pick of whole blocks, as a pattern of sublayers.

    Blocks are dropped in the heuristic's order while the budget allows a whole block, then
    sublayers while they fit. The pick has no scores, because these are of blocks.
    """
    units_of = units_by_block(task.space.units)
    whole = set(task.space.blocks)
    blocks = SearchSpace(
        whole_units(task.space),
        n_drop=1,
        protected=frozenset(i for i, units in enumerate(units_of.values()) if units not in whole),
    )
    picked = method(replace(task, space=blocks))
    names = list(units_of)
    order = tuple(unit for block in picked.order for unit in units_of[names[block]])
    return replace(picked, pattern=task.space.greedy(order), scores=None, order=order)


def whole_units(space: SearchSpace) -> tuple[Unit, ...]:
    """Return the blocks that the units of a space form."""
    return tuple(
        Unit(
            block,
            sum(space.units[unit].parameters for unit in units),
            sum(space.units[unit].work for unit in units),
            sum(space.units[unit].kv_bytes for unit in units),
        )
        for block, units in units_by_block(space.units).items()
    )


def _blocks_within(space: SearchSpace, order: tuple[int, ...], most: float) -> tuple[int, ...]:
    """Return the units of the first blocks in `order`, at most `most` units."""
    first: tuple[int, ...] = ()
    for units in units_by_block(space.units, order).values():
        if len(first) + len(units) > most:
            break
        first += units
    return first
