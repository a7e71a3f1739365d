"""Effects of units and of pairs on the excess loss, read from a surrogate.

In each of the best patterns seen, two drops are exchanged for every pair of units in turn. The
predictions are decomposed as in a diallel cross (Griffing 1956, method 4) into an effect of each
unit and an effect of each pair. Values are logarithms, so effects are factors on the excess loss:
a unit's relative to an average unit, a pair's relative to the product of its two units.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import SearchSpace
from evop_deap.surrogate.gaussian_process import GaussianProcess

_CONTEXTS = 8
_PAIRS_LISTED = 10


@dataclass(frozen=True)
class Effect:
    """The effect of dropping a unit or a pair on the logarithm of the excess loss.

    Attributes:
        units: one name, or two.
        mean: predicted effect; its exponential is a factor on the excess loss.
        error: standard deviation of the prediction.
    """

    units: tuple[str, ...]
    mean: float
    error: float

    @property
    def certain(self) -> bool:
        """Whether the effect differs from 0 by more than two standard deviations."""
        return abs(self.mean) > 2 * self.error

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: the factor and its 95 % interval."""
        low, high = (math.exp(self.mean + side * 1.96 * self.error) for side in (-1, 1))
        return {"units": list(self.units), "factor": math.exp(self.mean), "low": low, "high": high}


@dataclass(frozen=True)
class Explanation:
    """Effects of single units, and of pairs beyond the effects of their two units.

    Attributes:
        units: one effect for each droppable unit, in order.
        pairs: one effect for each pair of them; empty if patterns drop a single unit.
    """

    units: tuple[Effect, ...]
    pairs: tuple[Effect, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: all units, and the strongest of the certain pairs."""
        certain = sorted((pair for pair in self.pairs if pair.certain), key=lambda p: p.mean)
        better = [pair for pair in certain if pair.mean < 0][:_PAIRS_LISTED]
        worse = [pair for pair in reversed(certain) if pair.mean > 0][:_PAIRS_LISTED]
        return {
            "units": [unit.as_dict() for unit in self.units],
            "worse_together": [pair.as_dict() for pair in worse],
            "better_together": [pair.as_dict() for pair in better],
        }


def explain(process: GaussianProcess, space: SearchSpace, *, rng: random.Random) -> Explanation:
    """Return the effects of the units of `space`, near the best patterns seen.

    Args:
        process: conditioned on patterns of this space.
        space: the space of the units.
        rng: chooses the drops of the best patterns that are exchanged.
    """
    exchanged = min(2, space.n_drop)
    ranked = np.argsort(process.values, kind="stable").tolist()
    patterns = (1 - process.drops).astype(int).tolist()
    # Heuristics that seed a search also evaluate patterns outside the space; these are skipped.
    best = [row for row in ranked if tuple(patterns[row]) in space][:_CONTEXTS]
    sums: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for rest in _rests(process.drops[best], space, exchanged, rng):
        for units, mean, variance in _around(process, space, rest, exchanged):
            sums.setdefault(units, []).append((mean, variance))
    names = [unit.name for unit in space.units]
    effects = {
        units: Effect(
            tuple(names[unit] for unit in units),
            float(np.mean([mean for mean, _ in found])),
            # An upper bound for the mean of several: as if their errors were fully correlated.
            math.sqrt(max(0.0, float(np.mean([variance for _, variance in found])))),
        )
        for units, found in sorted(sums.items())
    }
    return Explanation(
        units=tuple(effect for units, effect in effects.items() if len(units) == 1),
        pairs=tuple(effect for units, effect in effects.items() if len(units) == 2),
    )


def _rests(
    best: NDArray[np.float64], space: SearchSpace, exchanged: int, rng: random.Random
) -> Iterator[list[int]]:
    """Yield what stays dropped when some drops of each of the best patterns are exchanged.

    The last pattern is taken again while a unit is left that has stayed dropped every time.

    Args:
        best: (patterns, units) 1.0 where a pattern drops a unit.
        space: the space of the units.
        exchanged: number of drops that are exchanged.
        rng: chooses them.
    """
    left = set(space.droppable)
    for turn, drops in enumerate(chain(best, cycle(best[-1:]))):
        if turn >= len(best) and not left:
            return
        dropped = np.flatnonzero(drops).tolist()
        order = sorted(rng.sample(dropped, len(dropped)), key=lambda unit: unit not in left)
        rest = sorted(order[exchanged:])
        left.intersection_update(rest)
        yield rest


def _around(
    process: GaussianProcess, space: SearchSpace, rest: Sequence[int], exchanged: int
) -> list[tuple[tuple[int, ...], float, float]]:
    """(units, mean, variance) for every unit and pair that may be dropped together with `rest`."""
    free = [unit for unit in space.droppable if unit not in set(rest)]
    sets = list(combinations(free, exchanged))
    if len(free) <= exchanged + 1:
        return []
    drops = np.zeros((len(sets), len(space.units)))
    drops[:, list(rest)] = 1.0
    for row, units in enumerate(sets):
        drops[row, list(units)] = 1.0
    mean, covariance = process.predict(drops)
    of_units, of_pairs = _diallel(len(free)) if exchanged == 2 else (_centred(len(free)), None)
    found: list[tuple[tuple[int, ...], float, float]] = [
        ((unit,), float(row @ mean), float(row @ covariance @ row))
        for unit, row in zip(free, of_units, strict=True)
    ]
    if of_pairs is not None:
        means = of_pairs @ mean
        variances = np.einsum("ij,ij->i", of_pairs @ covariance, of_pairs)
        found += list(zip(sets, means.tolist(), variances.tolist(), strict=True))
    return found


def _centred(count: int) -> NDArray[np.float64]:
    """(count, count) matrix that subtracts the mean."""
    centred: NDArray[np.float64] = np.eye(count) - 1.0 / count
    return centred


def _diallel(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrices that map the values of all pairs to the effects of units and of pairs.

    Pairs are in the order of `itertools.combinations`.

    Returns:
        (units, pairs) for the units' effects, and (pairs, pairs) for the pairs' own.
    """
    pairs = list(combinations(range(count), 2))
    member = np.zeros((len(pairs), count))
    for row, pair in enumerate(pairs):
        member[row, list(pair)] = 1.0
    general = (count * member.T - 2.0) / (count * (count - 2))
    own = np.eye(len(pairs)) - member @ member.T / (count - 2) + 2.0 / ((count - 1) * (count - 2))
    return general, own
