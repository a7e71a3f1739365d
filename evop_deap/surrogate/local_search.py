"""From a proposal to the most promising pattern that single swaps lead to.

Operators propose by chance, and of the patterns that a process would choose first chance finds
few where there are many: those with 12 of 60 halves dropped have 576 single swaps each. What
they would be worth is known without a forward pass, so all of them are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import Pattern, SearchSpace
from evop_deap.surrogate.kernel import Drops

Bound = Callable[[Drops], NDArray[np.float64]]
"""(patterns,) what is promised of each, lower is better."""


def local_search(
    start: Drops, bound: Bound, space: SearchSpace, *, beside: Collection[Pattern]
) -> list[Pattern]:
    """The patterns on the way from `start`, each the best swap of the one before it.

    Args:
        start: (units,) of one pattern, 1 = dropped.
        bound: what is promised of patterns.
        space: what the patterns are of.
        beside: patterns that are stepped over, such as those whose losses are known.

    Returns:
        None of `beside`, each promising more than the one before it, the last of them more than
        any other swap of it does; empty where no swap of `start` promises more.

    Example:
        >>> from evop_deap.space import Unit
        >>> space = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(4)), n_drop=1)
        >>> bound = lambda drops: drops @ np.array([3.0, 2.0, 0.0, 1.0])
        >>> local_search(np.array([1.0, 0.0, 0.0, 0.0]), bound, space, beside=[(1, 1, 0, 1)])
        [(1, 1, 1, 0)]
    """
    # No pattern twice: the same one may come out a rounding apart.
    known, path = {*beside, _pattern(start)}, list[Pattern]()
    here, promised = start, float(bound(start[None])[0])
    movable = _movable(space)
    while True:
        near = _swaps(here, movable)
        bounds = bound(near)
        for place in np.argsort(bounds, kind="stable").tolist():
            if bounds[place] >= promised:
                return path
            pattern = _pattern(near[place])
            if pattern not in known and pattern in space:
                known.add(pattern)
                path.append(pattern)
                here, promised = near[place], float(bounds[place])
                break
        else:
            return path


def _pattern(drops: Drops) -> Pattern:
    return tuple((1 - drops).astype(int).tolist())


def _swaps(here: Drops, movable: Sequence[NDArray[np.int64]]) -> Drops:
    """(swaps, units) `here` with one group back and another of its kind gone, in a space or not."""
    found = [np.zeros((0, len(here)))]
    for groups in movable:
        (gone,) = np.nonzero(here[groups].all(axis=1))
        without = np.tile(here, (len(gone), 1))
        without[np.arange(len(gone))[:, None], groups[gone]] = 0.0
        # A pair may take the place of one that it overlaps.
        free = without[:, groups].sum(axis=2) == 0.0
        free[np.arange(len(gone)), gone] = False
        back, into = np.nonzero(free)
        swaps = without[back]
        swaps[np.arange(len(swaps))[:, None], groups[into]] = 1.0
        found.append(swaps)
    return np.concatenate(found)


def _movable(space: SearchSpace) -> list[NDArray[np.int64]]:
    """(groups, units of each) what a swap moves: single units and, of halves, blocks; or pairs."""
    if space.pairs:
        free = [u for u in sorted(space.pairs) if {u, u + 1} <= set(space.droppable)]
        return [np.array([(u, u + 1) for u in free])]
    units = np.array(space.droppable)[:, None]
    return [units, np.array(space.blocks)] if space.blocks else [units]
