"""What must go, as allowances that a pattern uses up.

An allowance lets units go until what they weigh fills it: a count, a share of the parameters,
bytes of the key-value cache. It is met where no further unit fits: exactly where weights are
equal, else as closely below as the units that went allow.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_COUNTABLE = 100_000  # different sums: beyond, patterns are not counted


@dataclass(frozen=True)
class Allowance:
    """How much may go of what some units weigh.

    Attributes:
        name: what is weighed, as `parse_budget` takes it.
        weights: (units,) of each unit; 0 where it is none of those that may go for this.
        limit: the most that may go.

    Example:
        >>> two = Allowance("units", (1, 1, 1, 1), limit=2)
        >>> two.fill([3, 0, 1]), two.met({0, 3}), two.met({0}), two.count(frozenset())
        ([3, 0], True, False, 6)
    """

    name: str
    weights: tuple[int, ...]
    limit: int

    def used(self, dropped: Iterable[int]) -> int:
        """What the dropped units weigh."""
        return sum(self.weights[unit] for unit in dropped)

    def fill(self, order: Iterable[int]) -> list[int]:
        """Units in this order of preference, each that fits beside those before it."""
        left, taken = self.limit, []
        for unit in order:
            if 0 < self.weights[unit] <= left:
                taken.append(unit)
                left -= self.weights[unit]
        return taken

    def met(self, dropped: Collection[int], protected: Collection[int] = ()) -> bool:
        """Whether nothing more could go beside the `dropped` units, and no more went."""
        left = self.limit - self.used(dropped)
        others = (
            weight
            for unit, weight in enumerate(self.weights)
            if weight and unit not in dropped and unit not in protected
        )
        return left >= 0 and all(weight > left for weight in others)

    def count(self, protected: Collection[int]) -> int:
        """In how many ways it can be met; `sys.maxsize` where they are too many to be counted.

        Ways are told apart by the lightest unit that stays: all lighter ones went, and what is
        left is less than it weighs.
        """
        weights = sorted(
            w for unit, w in enumerate(self.weights) if w > 0 and unit not in protected
        )
        if len(set(weights)) == 1:
            return math.comb(len(weights), min(len(weights), self.limit // weights[0]))
        ways, lighter = int(sum(weights) <= self.limit), sum(weights)
        sums: Counter[int] = Counter({0: 1})  # of the units heavier than the one that stays
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
