"""Local search by single swaps for the pattern with the lowest predicted bound.

Random operators rarely find the best predicted patterns in a large space: a pattern that drops 12
of 60 halves has 576 single swaps. Predictions need no forward pass, so all swaps are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import Pattern, SearchSpace
from evop_deap.surrogate.kernel import Drops

Bound = Callable[[Drops], NDArray[np.float64]]
"""Returns the (patterns,) lower confidence bounds; lower is better."""


def local_search(
    start: Drops, bound: Bound, space: SearchSpace, *, excluded: Collection[Pattern]
) -> list[Pattern]:
    """Return the patterns on the path from `start`, each the best swap of the one before.

    Args:
        start: (units,) of one pattern, 1 = dropped.
        bound: lower confidence bounds of patterns.
        space: the space of the patterns.
        excluded: patterns that are skipped, for example because their losses are known.

    Returns:
        Patterns with decreasing bounds, none of them in `excluded`. No further swap of the last
        one improves it. Empty if no swap of `start` improves it.

    Example:
        >>> from evop_deap.space import Unit
        >>> space = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(4)), n_drop=1)
        >>> bound = lambda drops: drops @ np.array([3.0, 2.0, 0.0, 1.0])
        >>> local_search(np.array([1.0, 0.0, 0.0, 0.0]), bound, space, excluded=[(1, 1, 0, 1)])
        [(1, 1, 1, 0)]
    """
    # A pattern may not be visited twice: rounding could make it seem better than itself.
    known, path = {*excluded, _pattern(start)}, list[Pattern]()
    here, lowest = start, float(bound(start[None])[0])
    movable = _movable(space)
    while True:
        near = _swaps(here, movable)
        bounds = bound(near)
        for place in np.argsort(bounds, kind="stable").tolist():
            if bounds[place] >= lowest:
                return path
            pattern = _pattern(near[place])
            if pattern not in known and pattern in space:
                known.add(pattern)
                path.append(pattern)
                here, lowest = near[place], float(bounds[place])
                break
        else:
            return path


def _pattern(drops: Drops) -> Pattern:
    return tuple((1 - drops).astype(int).tolist())


def _swaps(here: Drops, movable: Sequence[NDArray[np.int64]]) -> Drops:
    """(swaps, units) `here` with one group restored and another of its kind dropped.

    The result may hold patterns outside the space.
    """
    found = [np.zeros((0, len(here)))]
    for groups in movable:
        (gone,) = np.nonzero(here[groups].all(axis=1))
        without = np.tile(here, (len(gone), 1))
        without[np.arange(len(gone))[:, None], groups[gone]] = 0.0
        # A pair may replace one that it overlaps.
        free = without[:, groups].sum(axis=2) == 0.0
        free[np.arange(len(gone)), gone] = False
        back, into = np.nonzero(free)
        swaps = without[back]
        swaps[np.arange(len(swaps))[:, None], groups[into]] = 1.0
        found.append(swaps)
    return np.concatenate(found)


def _movable(space: SearchSpace) -> list[NDArray[np.int64]]:
    """The groups of units that a swap moves, as arrays of (groups, units of a group).

    They are single units and, with halves, whole blocks; in a space of pairs, the pairs.
    """
    if space.pairs:
        return [np.array([(u, u + 1) for u in sorted(space.free_pairs)])]
    units = np.array(space.droppable)[:, None]
    return [units, np.array(space.blocks)] if space.blocks else [units]
