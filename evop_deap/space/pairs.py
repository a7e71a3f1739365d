"""Dropping neighbouring halves in pairs, so that the kept halves form whole layers.

The kept halves form whole layers, with none left over, if attention and MLP halves still alternate.
That holds if every run of dropped halves has even length, that is, consists of pairs of neighbours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache


def preferred_pairs(order: Sequence[int], pairs: Collection[int], count: int) -> list[int]:
    """Choose `count` disjoint pairs whose units come first in an order of preference.

    The first unit of the order is dropped if any choice of pairs drops it, then the second if any
    remaining choice does, and so on. So units that form pairs and come first are all dropped.

    Args:
        order: units, the first one to be dropped first; missing units come last.
        pairs: units u that may be dropped together with u + 1.
        count: number of pairs.

    Returns:
        The units of the pairs; fewer if there is no room for `count` disjoint pairs.

    Example:
        >>> preferred_pairs([2, 0], pairs=[0, 1, 2], count=1)
        [2, 3]
        >>> preferred_pairs([2, 0], pairs=[0, 1, 2], count=2)
        [0, 1, 2, 3]
    """
    end = max(pairs, default=-1) + 2
    # A unit outweighs all units after it together.
    worth = [0] * end
    for place, unit in enumerate(reversed(order)):
        if unit < end:
            worth[unit] = 1 << place
    allowed = set(pairs)
    nothing = [0, *[-1] * count]  # the best worth of 0, 1, … pairs; -1 if they have no room
    best = [nothing] * (end + 1)
    for unit in range(end - 1, -1, -1):
        best[unit] = best[unit + 1]
        if unit in allowed:
            gained = worth[unit] + worth[unit + 1]
            with_it = [-1, *(b + gained if b >= 0 else -1 for b in best[unit + 2][:-1])]
            best[unit] = [max(pair) for pair in zip(best[unit], with_it, strict=True)]
    left = max(n for n, value in enumerate(best[0]) if value >= 0)
    chosen: list[int] = []
    unit = 0
    while left:
        if best[unit][left] == best[unit + 1][left]:
            unit += 1
        else:
            chosen += [unit, unit + 1]
            unit, left = unit + 2, left - 1
    return chosen


def in_pairs(dropped: Iterable[int], pairs: Collection[int]) -> bool:
    """Whether the dropped units consist of disjoint pairs."""
    left = sorted(dropped)
    return len(left) % 2 == 0 and all(
        second == first + 1 and first in pairs
        for first, second in zip(left[::2], left[1::2], strict=True)
    )


def count_pairs(pairs: Collection[int], count: int) -> int:
    """The number of ways to choose `count` disjoint pairs."""

    @cache
    def ways(unit: int, left: int) -> int:
        if left == 0:
            return 1
        if unit > end:
            return 0
        taking = ways(unit + 2, left - 1) if unit in pairs else 0
        return ways(unit + 1, left) + taking

    end = max(pairs, default=-1)
    return ways(0, count)
