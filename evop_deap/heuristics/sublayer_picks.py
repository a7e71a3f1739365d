"""What a rule picks where halves are searched: whole blocks, halves by themselves, or some of both.

The halves of a block do to the hidden state what they do together, so a rule that looks at each
for itself takes the attention of one block and the MLP of another, or nothing but attention.
Where many go that is far worse than the whole blocks that the rule's authors would drop, where
few go it is better, and between the two is often what beats both: by block influence, the demo
model without 20 of its 60 halves has a perplexity of 567 where 10 blocks go, of 879 where the
halves are picked by themselves, and of 329 where 5 blocks go first; without 6 of 138, 118 and 129
(512 tokens of WikiText-2 in windows of 64).
"""

from __future__ import annotations

from dataclasses import replace

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task
from evop_deap.space import SearchSpace, Unit, dropped_units

_SHARES = {"": 1.0, " of both": 0.5, " of halves": 0.0}
"""Shares of what goes that go as whole blocks, by what is said of the pick."""


def picks_of_halves(method: Heuristic, task: Task) -> dict[str, Pick]:
    """The rule's picks by their names; those of whole blocks bear the rule's own.

    Its scores are of blocks or of halves, and are left out.
    """
    by_blocks, by_halves = pick_blocks(method, task), method(task)
    count = len(dropped_units(by_blocks.pattern))
    picks = {}
    for said, share in _SHARES.items():
        first = by_blocks.order[: 2 * int(share * count / 2)]
        order = (*first, *(unit for unit in by_halves.order if unit not in first))
        pick = replace(by_halves, pattern=task.space.greedy(order), scores=None, order=order)
        picks[method.name + said] = pick
    return picks


def pick_blocks(method: Heuristic, task: Task) -> Pick:
    """The pattern of halves that the rule comes to when its units are blocks.

    Blocks go in the rule's order as long as the budget lets both of their halves go, then halves
    as they fit. Its scores are of blocks and are left out.
    """
    halves = _halves_of(task.space)
    whole = set(task.space.blocks)
    names = list(halves)
    blocks = SearchSpace(
        whole_units(task.space),
        n_drop=1,
        protected=frozenset(i for i, name in enumerate(names) if halves[name] not in whole),
    )
    picked = method(replace(task, space=blocks))
    order = tuple(half for block in picked.order for half in halves[names[block]])
    return replace(picked, pattern=task.space.greedy(order), scores=None, order=order)


def whole_units(space: SearchSpace) -> tuple[Unit, ...]:
    """The blocks that the halves of a space make."""
    return tuple(
        _together(name, [space.units[half] for half in halves])
        for name, halves in _halves_of(space).items()
    )


def _halves_of(space: SearchSpace) -> dict[str, tuple[int, ...]]:
    """By the block's name, which units are its halves."""
    halves: dict[str, tuple[int, ...]] = {}
    for position, unit in enumerate(space.units):
        halves[unit.block] = (*halves.get(unit.block, ()), position)
    return halves


def _together(name: str, halves: list[Unit]) -> Unit:
    return Unit(
        name,
        sum(half.parameters for half in halves),
        sum(half.work for half in halves),
        sum(half.kv_bytes for half in halves),
    )
