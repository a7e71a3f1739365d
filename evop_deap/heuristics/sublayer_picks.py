"""The picks of a heuristic among sublayers: whole blocks, sublayers one by one, some of both.

The sublayers of a block do to the hidden state what they do together, so a heuristic that scores
each for itself takes the attention of one block and the MLP of another, or nothing but attention.
Where many go that is far worse than the whole blocks that the heuristic's authors would drop,
where few go it is better, and between the two is often what beats both: by block influence, the
demo model without 20 of its 60 halves has a perplexity of 567 where 10 blocks go, of 879 where the
halves are picked one by one, and of 329 where 5 blocks go first; without 6 of 138, 118 and 129
(512 tokens of WikiText-2 in windows of 64).
"""

from __future__ import annotations

from dataclasses import replace

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task
from evop_deap.space import SearchSpace, Unit, dropped_units
from evop_deap.space.unit import units_by_block

_WHOLE = {"": 1.0, " of both": 0.5, " of halves": 0.0}
"""By the suffix of the pick's name: the fraction of what goes that goes as whole blocks."""


def sublayer_picks(method: Heuristic, task: Task) -> dict[str, Pick]:
    """The heuristic's picks by their names; that of whole blocks has the heuristic's own.

    Its scores are of blocks or of sublayers, and are left out.
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
    """The pattern of sublayers that the heuristic comes to when its units are blocks.

    Blocks go in the heuristic's order as long as the budget lets all of a block go, then
    sublayers as they fit. Its scores are of blocks and are left out.
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
    """The blocks that the units of a space make."""
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
    """The first units of an order, block by block, as long as whole blocks are at most so many."""
    first: tuple[int, ...] = ()
    for units in units_by_block(space.units, order).values():
        if len(first) + len(units) > most:
            break
        first += units
    return first
