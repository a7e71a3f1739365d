"""Observations for the surrogate: logarithms of excess losses, and their errors.

The excess is the loss above the dense model's on the same windows. It measures the effect of
pruning without the difficulty of the text, so patterns evaluated on different parts of the windows
can be compared.
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
_FLOOR = 1e-3  # smallest shifted excess, relative to the median excess
_SQUEEZE = 0.1  # factor on distances above a ceiling


@dataclass(frozen=True, eq=False)
class Observations:
    """The patterns seen, in order of evaluation.

    Attributes:
        drops: (observations, units), 1 = dropped.
        values: (observations,) log(loss - dense loss + shift), losses in nats per token.
        noise: (observations,) variance of each value because of windows not evaluated.
        base: dense loss on all windows minus the shift; the loss whose value is minus infinity.
    """

    drops: Drops
    values: NDArray[np.float64]
    noise: NDArray[np.float64]
    base: float

    def __len__(self) -> int:
        return len(self.values)

    def first(self, count: int) -> Observations:
        """Return the first `count` observations."""
        return self._some(slice(count))

    def squeezed(self, quantile: float, space: SearchSpace) -> Observations:
        """Return a copy in which distances above this quantile are reduced to a tenth.

        The quantile is taken over patterns of the space only: patterns that drop fewer units have
        lower losses.
        """
        inside = self.inside(space)
        if not inside.any():
            return self
        ceiling = float(np.quantile(self.values[inside], quantile))
        above = np.maximum(self.values - ceiling, 0.0)
        return dataclasses.replace(self, values=self.values - (1 - _SQUEEZE) * above)

    def inside(self, space: SearchSpace) -> NDArray[np.bool_]:
        """(observations,) whether each is a pattern of the space."""
        patterns = (1 - self.drops).astype(int).tolist()
        return np.array([tuple(pattern) in space for pattern in patterns], dtype=np.bool_)

    def bounded(self, most: int = MOST) -> Observations:
        """Return at most `most` observations: half of them the best, half evenly spread in time."""
        if len(self) <= most:
            return self
        ranked = np.argsort(self.values, kind="stable")
        best, others = ranked[: most // 2], np.sort(ranked[most // 2 :])
        spread = np.linspace(0, len(others) - 1, most - len(best)).round().astype(int)
        return self._some(np.sort(np.concatenate([best, others[spread]])))

    def loss(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert values to losses in nats per token."""
        losses: NDArray[np.float64] = self.base + np.exp(values)
        return losses

    def _some(self, which: slice | NDArray[np.int64]) -> Observations:
        return Observations(self.drops[which], self.values[which], self.noise[which], self.base)


def observe(
    rows: Mapping[Pattern, NDArray[np.float64]], tokens: NDArray[np.int64], dense: Pattern
) -> Observations:
    """Return the observations from window sums.

    Args:
        rows: (windows,) sums of each pattern in nats, NaN for windows not evaluated.
        tokens: (windows,) number of predicted tokens.
        dense: the pattern that drops nothing. If it has no row, excess losses are the losses.
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
    # Losses that are not finite count as the worst finite one.
    excess = np.where(finite, excess, excess[finite].max())
    error = np.where(finite, error, 0.0)
    shift = _shift(excess)
    values = np.log(excess + shift)
    # Error propagation through the logarithm, limited to a standard deviation of 1 (a factor e).
    noise = np.minimum((error / (excess + shift)) ** 2, 1.0)
    values, noise = _over_all_windows(values, noise, sums, base, tokens, shift)
    return Observations(as_drops(patterns), values, noise, float(base.sum() / tokens.sum()) - shift)


def _over_all_windows(
    values: NDArray[np.float64],
    noise: NDArray[np.float64],
    sums: NDArray[np.float64],
    base: NDArray[np.float64],
    tokens: NDArray[np.int64],
    shift: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and noise, extrapolated to all windows for patterns evaluated on a part of them."""
    values, noise, unknown = values.copy(), noise.copy(), np.isnan(sums)
    finite = ~np.isinf(sums).any(axis=1)
    whole = finite & ~unknown.any(axis=1)
    for part in np.unique(~unknown[finite & ~whole], axis=0):
        of_part = finite & (unknown != part).all(axis=1)
        excess, _ = _excess(sums[whole][:, part], base[part], tokens[part])
        positive = excess + shift > 0.0
        values[of_part], noise[of_part] = carried_over(
            values[of_part],
            noise[of_part],
            whole=values[whole][positive],
            whole_in_part=np.log(excess[positive] + shift),
        )
    return values, noise


def _excess(
    sums: NDArray[np.float64], base: NDArray[np.float64], tokens: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(patterns,) mean excess in nats per token over the windows evaluated, and its error."""
    known = ~np.isnan(sums)
    seen = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        above = np.where(known, sums - base, 0.0)
        mean = above.sum(axis=1) / (known * tokens).sum(axis=1)
        off = np.where(known, (sums - base) / tokens - mean[:, None], 0.0)
        variance = (off**2).sum(axis=1) / np.maximum(seen - 1, 1)
        # One window gives no variance between windows: the squared mean is used instead.
        variance = np.where(seen > 1, variance, mean**2)
        error = np.sqrt(variance / seen * (1 - seen / len(tokens)))
    return mean, error


def _shift(excess: NDArray[np.float64]) -> float:
    """The shift that makes every excess positive; pruning can lower the loss."""
    floor = _FLOOR * float(np.median(np.abs(excess))) or _FLOOR
    return max(0.0, floor - 2 * float(excess.min()))
