"""What a surrogate has learned about the model: what each unit costs, and which pairs interact.

Near the best patterns seen, two of their drops are exchanged for every pair of units in turn,
and what the process expects is split as in a diallel cross (Griffing 1956, method 4): a part
for each unit and a part that is the pair's own. Values are logarithms, so effects are factors on
the excess loss: a unit's beside a usual unit's, a pair's beside the product of its two.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import SearchSpace
from evop_deap.surrogate.gaussian_process import GaussianProcess

_CONTEXTS = 8
_PAIRS_TOLD = 10


@dataclass(frozen=True)
class Effect:
    """What dropping some units together does to the logarithm of the excess loss.

    Attributes:
        units: names: one, or a pair.
        mean: expected effect; its exponential is a factor on the excess loss.
        error: standard deviation of what is expected.
    """

    units: tuple[str, ...]
    mean: float
    error: float

    @property
    def certain(self) -> bool:
        """Whether the sign of the effect is out of reasonable doubt."""
        return abs(self.mean) > 2 * self.error

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: the factor, and an interval that holds it 19 times in 20."""
        low, high = (math.exp(self.mean + side * 1.96 * self.error) for side in (-1, 1))
        return {"units": list(self.units), "factor": math.exp(self.mean), "low": low, "high": high}


@dataclass(frozen=True)
class Explanation:
    """Effects of single units in their order, and of pairs beyond their two units' own.

    Attributes:
        units: one for each droppable unit.
        pairs: one for each two of them; empty where a single unit is dropped.
    """

    units: tuple[Effect, ...]
    pairs: tuple[Effect, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: every unit, and the pairs that are certain, the strongest first."""
        certain = sorted((pair for pair in self.pairs if pair.certain), key=lambda p: p.mean)
        better = [pair for pair in certain if pair.mean < 0][:_PAIRS_TOLD]
        worse = [pair for pair in reversed(certain) if pair.mean > 0][:_PAIRS_TOLD]
        return {
            "units": [unit.as_dict() for unit in self.units],
            "worse_together": [pair.as_dict() for pair in worse],
            "better_together": [pair.as_dict() for pair in better],
        }


def explain(process: GaussianProcess, space: SearchSpace, *, rng: random.Random) -> Explanation:
    """What `process` says of the units of `space`, near the best patterns that it has seen.

    Args:
        process: conditioned on patterns of this space.
        space: whose units are asked about.
        rng: chooses which drops of the best patterns make room.
    """
    exchanged = min(2, space.n_drop)
    ranked = np.argsort(process.values, kind="stable").tolist()
    patterns = (1 - process.drops).astype(int).tolist()
    # Patterns that drop fewer are seen where a search was seeded: they are no contexts.
    best = [row for row in ranked if tuple(patterns[row]) in space][:_CONTEXTS]
    sums: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for row in best:
        dropped = np.flatnonzero(process.drops[row]).tolist()
        rest = sorted(rng.sample(dropped, max(0, len(dropped) - exchanged)))
        for units, mean, variance in _around(process, space, rest, exchanged):
            sums.setdefault(units, []).append((mean, variance))
    names = [unit.name for unit in space.units]
    effects = {
        units: Effect(
            tuple(names[unit] for unit in units),
            float(np.mean([mean for mean, _ in found])),
            # Of the mean of several, at the most: as if all erred together.
            math.sqrt(max(0.0, float(np.mean([variance for _, variance in found])))),
        )
        for units, found in sorted(sums.items())
    }
    return Explanation(
        units=tuple(effect for units, effect in effects.items() if len(units) == 1),
        pairs=tuple(effect for units, effect in effects.items() if len(units) == 2),
    )


def _around(
    process: GaussianProcess, space: SearchSpace, rest: Sequence[int], exchanged: int
) -> list[tuple[tuple[int, ...], float, float]]:
    """(units, mean, variance) of every unit and pair that may be dropped beside `rest`."""
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
    """(count, count) what takes the mean off."""
    centred: NDArray[np.float64] = np.eye(count) - 1.0 / count
    return centred


def _diallel(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What turns values of all pairs into (units, pairs) general and (pairs, pairs) own effects.

    Pairs are in the order of `itertools.combinations`.
    """
    pairs = list(combinations(range(count), 2))
    member = np.zeros((len(pairs), count))
    for row, pair in enumerate(pairs):
        member[row, list(pair)] = 1.0
    general = (count * member.T - 2.0) / (count * (count - 2))
    own = np.eye(len(pairs)) - member @ member.T / (count - 2) + 2.0 / ((count - 1) * (count - 2))
    return general, own
