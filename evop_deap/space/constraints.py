"""Constraints on patterns: units of which some must stay, whichever they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Constraint:
    """Of these units, at least `least` must stay.

    Attributes:
        units: positions of the units.
        least: the smallest number of them that a pattern keeps.
        reason: why, in one line.

    Example:
        >>> one_stays = Constraint(frozenset({1, 4}), least=1)
        >>> one_stays.allows({1, 2}), one_stays.allows({1, 4})
        (True, False)
    """

    units: frozenset[int]
    least: int
    reason: str = ""

    def allows(self, dropped: Collection[int]) -> bool:
        """Whether enough units stay without the `dropped` ones."""
        return len(self.units.difference(dropped)) >= self.least

    def among(self, droppable: Collection[int]) -> Constraint:
        """Return the same constraint on the units that may be dropped; the others stay."""
        free = self.units.intersection(droppable)
        staying = len(self.units) - len(free)
        return Constraint(free, max(0, self.least - staying), self.reason)


def allowed(constraints: Iterable[Constraint], dropped: Collection[int]) -> bool:
    """Whether all constraints allow these drops.

    Example:
        >>> allowed([Constraint(frozenset({0, 1}), 1), Constraint(frozenset({2}), 1)], {0, 2})
        False
    """
    return all(constraint.allows(dropped) for constraint in constraints)


def choose_allowed(
    order: Sequence[int],
    constraints: Sequence[Constraint],
    choose: Callable[[Sequence[int]], Sequence[int] | None],
) -> Sequence[int] | None:
    """Return the units that `choose` drops, kept from breaking a constraint.

    Where its choice breaks one, the last of the constraint's dropped units in the order stays, and
    it chooses again. If nothing can be chosen then, the unit before it stays instead.

    Args:
        order: units, the first to be dropped first.
        constraints: constraints on the choice.
        choose: drops units in an order of preference; None if it cannot drop enough.

    Example:
        >>> first_two = lambda order: order[:2] if len(order) > 1 else None
        >>> choose_allowed([3, 1, 0, 2], [Constraint(frozenset({1, 3}), 1)], first_two)
        [3, 0]
    """
    chosen = choose(order)
    if chosen is None:
        return None
    broken = next((one for one in constraints if not one.allows(chosen)), None)
    if broken is None:
        return chosen
    gone = set(chosen)
    for unit in [u for u in reversed(order) if u in gone and u in broken.units]:
        rest = [other for other in order if other != unit]
        if (found := choose_allowed(rest, constraints, choose)) is not None:
            return found
    return None


def count_allowed(n_units: int, n_drop: int, constraints: Sequence[Constraint]) -> int | None:
    """Return how many ways to drop `n_drop` of `n_units` units the constraints allow.

    None if two constraints share a unit: such ways are not counted.

    Example:
        >>> count_allowed(4, 2, [Constraint(frozenset({0, 1}), 1)])
        5
    """
    groups = [constraint.units for constraint in constraints]
    if sum(map(len, groups)) != len(frozenset().union(*groups)):
        return None
    ways = [1]  # the coefficients of a polynomial: ways[k] drop k units
    for constraint in constraints:
        size = len(constraint.units)
        most = size - constraint.least
        ways = _product(ways, [math.comb(size, k) for k in range(most + 1)])
    rest = n_units - sum(map(len, groups))
    ways = _product(ways, [math.comb(rest, k) for k in range(rest + 1)])
    return ways[n_drop] if n_drop < len(ways) else 0


def _product(first: Sequence[int], second: Sequence[int]) -> list[int]:
    product = [0] * (len(first) + len(second) - 1)
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            product[i + j] += one * other
    return product
