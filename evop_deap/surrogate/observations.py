"""What was seen of a landscape: the logarithm of each pattern's excess loss, and its error.

The dense model's loss on the same windows is taken off first. That leaves what pruning does
to a text and not how hard the text is, so that patterns evaluated on a part of the windows can
stand beside those evaluated on all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import Pattern, SearchSpace
from evop_deap.surrogate.extrapolation import carried_over
from evop_deap.surrogate.kernel import Drops, as_drops

MOST = 2000
_FLOOR = 1e-3  # of the median excess: how near to nothing an excess may come
_SQUEEZE = 0.1  # of a distance above a ceiling is left


@dataclass(frozen=True, eq=False)
class Observations:
    """Patterns seen, in the order in which they were.

    Attributes:
        drops: (observations, units), 1 = dropped.
        values: (observations,) log(loss - dense loss + `shift`), losses in nats a token.
        noise: (observations,) variance of a value that comes from the windows not seen.
        base: dense loss on all windows, less `shift`: the loss whose value is minus infinity.
    """

    drops: Drops
    values: NDArray[np.float64]
    noise: NDArray[np.float64]
    base: float

    def __len__(self) -> int:
        return len(self.values)

    def first(self, count: int) -> Observations:
        """The first `count` of them."""
        return self._some(slice(count))

    def squeezed(self, quantile: float, space: SearchSpace) -> Observations:
        """The same, but what lies above this quantile at a tenth of its distance from there.

        The quantile is one of the values of patterns of the space: patterns that drop fewer
        units lose less, and say nothing of what is bad there.
        """
        inside = self.inside(space)
        if not inside.any():
            return self
        ceiling = float(np.quantile(self.values[inside], quantile))
        above = np.maximum(self.values - ceiling, 0.0)
        return dataclasses.replace(self, values=self.values - (1 - _SQUEEZE) * above)

    def inside(self, space: SearchSpace) -> NDArray[np.bool_]:
        """(observations,) which of them are patterns of the space."""
        patterns = (1 - self.drops).astype(int).tolist()
        return np.array([tuple(pattern) in space for pattern in patterns], dtype=np.bool_)

    def bounded(self, most: int = MOST) -> Observations:
        """At most so many: the best half of them, the rest spread evenly over what was seen."""
        if len(self) <= most:
            return self
        ranked = np.argsort(self.values, kind="stable")
        best, others = ranked[: most // 2], np.sort(ranked[most // 2 :])
        spread = np.linspace(0, len(others) - 1, most - len(best)).round().astype(int)
        return self._some(np.sort(np.concatenate([best, others[spread]])))

    def loss(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Losses in nats a token, of values."""
        losses: NDArray[np.float64] = self.base + np.exp(values)
        return losses

    def _some(self, which: slice | NDArray[np.int64]) -> Observations:
        return Observations(self.drops[which], self.values[which], self.noise[which], self.base)


def observe(
    rows: Mapping[Pattern, NDArray[np.float64]], tokens: NDArray[np.int64], dense: Pattern
) -> Observations:
    """Observations from window sums.

    Args:
        rows: (windows,) sums of each pattern in nats, NaN for windows not evaluated.
        tokens: (windows,) predicted tokens of each.
        dense: the pattern that drops nothing. Without its row losses stand for themselves.
    """
    patterns = [pattern for pattern in rows if pattern != dense]
    sums = np.array([rows[pattern] for pattern in patterns]).reshape(len(patterns), len(tokens))
    base = rows.get(dense, np.zeros(len(tokens)))
    seen = ~np.isnan(sums).all(axis=1)
    patterns = [pattern for pattern, known in zip(patterns, seen.tolist(), strict=True) if known]
    sums = sums[seen]
    excess, error = _excess(sums, base, tokens)
    finite = np.isfinite(excess)
    if not finite.any():
        nothing = np.zeros(0)
        return Observations(np.zeros((0, len(dense))), nothing, nothing, 0.0)
    # What came out as no number is as bad as the worst that did.
    excess = np.where(finite, excess, excess[finite].max())
    error = np.where(finite, error, 0.0)
    shift = _shift(excess)
    values = np.log(excess + shift)
    # The slope of the logarithm carries the error over; it is never taken as beyond e-fold.
    noise = np.minimum((error / (excess + shift)) ** 2, 1.0)
    values, noise = _of_all_windows(values, noise, sums, base, tokens, shift)
    return Observations(as_drops(patterns), values, noise, float(base.sum() / tokens.sum()) - shift)


def _of_all_windows(
    values: NDArray[np.float64],
    noise: NDArray[np.float64],
    sums: NDArray[np.float64],
    base: NDArray[np.float64],
    tokens: NDArray[np.int64],
    shift: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and noise; of patterns seen in part, by what the others lose on that part."""
    values, noise, unknown = values.copy(), noise.copy(), np.isnan(sums)
    numbers = ~np.isinf(sums).any(axis=1)
    whole = numbers & ~unknown.any(axis=1)
    for part in np.unique(~unknown[numbers & ~whole], axis=0):
        of_part = numbers & (unknown != part).all(axis=1)
        excess, _ = _excess(sums[whole][:, part], base[part], tokens[part])
        able = excess + shift > 0.0
        values[of_part], noise[of_part] = carried_over(
            values[of_part],
            noise[of_part],
            whole=values[whole][able],
            whole_in_part=np.log(excess[able] + shift),
        )
    return values, noise


def _excess(
    sums: NDArray[np.float64], base: NDArray[np.float64], tokens: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(patterns,) mean nats a token above `base` over the windows evaluated, and its error."""
    known = ~np.isnan(sums)
    seen = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        above = np.where(known, sums - base, 0.0)
        mean = above.sum(axis=1) / (known * tokens).sum(axis=1)
        off = np.where(known, (sums - base) / tokens - mean[:, None], 0.0)
        variance = (off**2).sum(axis=1) / np.maximum(seen - 1, 1)
        # One window tells nothing of the spread between windows: the mean itself stands for it.
        variance = np.where(seen > 1, variance, mean**2)
        error = np.sqrt(variance / seen * (1 - seen / len(tokens)))
    return mean, error


def _shift(excess: NDArray[np.float64]) -> float:
    """What makes every excess positive: pruning may even help."""
    floor = _FLOOR * float(np.median(np.abs(excess))) or _FLOOR
    return max(0.0, floor - 2 * float(excess.min()))
