"""Allowances: limits on the total weight of the dropped units.

The weight is a count, parameters, or bytes of the key-value cache. A pattern meets an allowance if
its dropped units stay within the limit and no further unit fits. With equal weights the limit is
met exactly, else as closely from below as the choice of units allows.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_COUNTABLE = 100_000  # different sums; with more, patterns are not counted


def fitting(weights: Iterable[int], limit: int) -> int:
    """The total of the weights that fit within the limit, each alone."""
    return sum(weight for weight in weights if weight <= limit)


@dataclass(frozen=True)
class Allowance:
    """A limit on the total weight of dropped units.

    Attributes:
        name: the kind of weight, as in `parse_budget`.
        weights: (units,) weight of each unit; 0 for units that the allowance does not cover.
        limit: the largest total weight that may be dropped.

    Example:
        >>> two = Allowance("units", (1, 1, 1, 1), limit=2)
        >>> two.fill([3, 0, 1]), two.met({0, 3}), two.met({0}), two.count(frozenset())
        ([3, 0], True, False, 6)
    """

    name: str
    weights: tuple[int, ...]
    limit: int

    def used(self, dropped: Iterable[int]) -> int:
        """The total weight of the dropped units."""
        return sum(self.weights[unit] for unit in dropped)

    def fill(self, order: Iterable[int]) -> list[int]:
        """Select units greedily in this order of preference, each if it fits within the limit."""
        left, taken = self.limit, []
        for unit in order:
            if 0 < self.weights[unit] <= left:
                taken.append(unit)
                left -= self.weights[unit]
        return taken

    def met(self, dropped: Collection[int], protected: Collection[int] = ()) -> bool:
        """Whether the `dropped` units stay within the limit and no further unit fits."""
        left = self.limit - self.used(dropped)
        others = (
            weight
            for unit, weight in enumerate(self.weights)
            if weight and unit not in dropped and unit not in protected
        )
        return left >= 0 and all(weight > left for weight in others)

    def count(self, protected: Collection[int]) -> int:
        """The number of ways to meet the allowance; `sys.maxsize` if there are too many to count.

        Ways are counted by the lightest unit that is kept: all lighter ones are dropped, and the
        weight left within the limit is less than its own.
        """
        weights = sorted(
            w for unit, w in enumerate(self.weights) if w > 0 and unit not in protected
        )
        if len(set(weights)) == 1:
            return math.comb(len(weights), min(len(weights), self.limit // weights[0]))
        ways, lighter = int(sum(weights) <= self.limit), sum(weights)
        sums: Counter[int] = Counter({0: 1})  # of the units heavier than the lightest kept one
        for weight in reversed(weights):
            lighter -= weight
            left = self.limit - lighter
            ways += sum(n for used, n in sums.items() if 0 <= left - used < weight)
            for used, n in list(sums.items()):
                if used + weight <= self.limit:
                    sums[used + weight] += n
            if len(sums) > _COUNTABLE:
                return sys.maxsize
        return ways
