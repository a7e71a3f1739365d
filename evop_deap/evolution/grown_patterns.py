"""Good patterns of one budget as first patterns of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from evop_deap.space import Pattern, SearchSpace, dropped_units

GROWN = 4
_ELITE = 10


def grow(
    losses: Mapping[Pattern, float], space: SearchSpace, count: int = GROWN
) -> tuple[Pattern, ...]:
    """The best `count` patterns as patterns of `space`, no two alike.

    Each drops what it has dropped as far as the budget goes, and then the units that most of the
    best ten patterns drop, the better ones first where they agree on nothing.

    Args:
        losses: of patterns over the same units, which drop fewer or more.
        space: whose budget is to be met.
        count: how many patterns to grow.

    Example:
        >>> from evop_deap.space import Unit
        >>> space = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(4)), n_drop=2)
        >>> grow({(0, 1, 1, 1): 1.0, (1, 1, 0, 1): 1.5, (1, 0, 1, 1): 9.0}, space, count=2)
        ((0, 1, 0, 1),)
    """
    elite = sorted(losses, key=losses.__getitem__)[:_ELITE]
    votes = Counter(unit for pattern in elite for unit in dropped_units(pattern))
    common = [unit for unit, _ in votes.most_common()]
    grown = (
        space.greedy([*sorted(dropped_units(pattern), key=common.index), *common])
        for pattern in elite[:count]
    )
    return tuple(dict.fromkeys(grown))
