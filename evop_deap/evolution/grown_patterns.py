"""Good patterns of one budget, adapted to another budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from evop_deap.space import Pattern, SearchSpace, dropped_units

GROWN = 4
_ELITE = 10


def grow(
    losses: Mapping[Pattern, float], space: SearchSpace, count: int = GROWN
) -> tuple[Pattern, ...]:
    """Return the best `count` patterns, adapted to the budget of `space`, without duplicates.

    Each drops the units that it dropped before, as far as they fit, and then the units that the
    best ten patterns drop most often; ties go to the units of the better pattern.

    Args:
        losses: losses of patterns over the same units that drop fewer or more of them.
        space: the space whose budget must be met.
        count: number of patterns to adapt.

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
