"""Choice of proposals by the surrogate, as one of the evolution's strategies.

DEAP's operators propose patterns, and a Gaussian process over all losses seen chooses among them.
`prefer` depends only on these losses, so a resumed search makes the same choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.ranks import rank_correlation
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.strategies import Breed, Foresight, Preference
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.space import SearchSpace, Unit
from evop_deap.surrogate.acquisition import most_promising
from evop_deap.surrogate.fitting import fit_shape
from evop_deap.surrogate.gaussian_process import GaussianProcess
from evop_deap.surrogate.kernel import Drops, Layout, SetKernel, Shape, as_drops
from evop_deap.surrogate.local_search import local_search
from evop_deap.surrogate.observations import Observations, observe
from evop_deap.surrogate.prospect import prospect_of
from evop_deap.surrogate.trend import Trend

_FITTED_ON = 160  # largest number of observations to fit on: parameters need fewer than predictions
_FIRST_FIT, _GROWTH = 8, 1.3
_PARENTS = 16  # of a round of proposals
_FITS_KEPT = 32  # several searches may run in turns
Z90 = 1.6448536269514722  # half width of a normal variable's 90 % interval


@dataclass(frozen=True)
class Surrogate:
    """The settings of the surrogate.

    Attributes:
        powers: degree of the kernel: 1 for single drops, 2 with pairs, 3 with triples.
        exploration_weight: standard deviations between the predicted value and the lower bound by
            which proposals are chosen.
        rounds: rounds of breeding: the first from the population, the others from the proposals
            with the lowest bounds.
        exploration_growth: added to the weight for each evaluation without a better pattern.
        exploration_limit: the largest weight.
        climbers: number of proposals, those with the lowest bounds, that start a local search.
        ceiling: quantile of the values above which differences are reduced to a tenth. Differences
            between bad patterns say little about good ones, and would dominate the fit.
    """

    powers: int = 3
    exploration_weight: float = 1.0
    rounds: int = 3
    exploration_growth: float = 0.025
    exploration_limit: float = 3.0
    climbers: int = 8
    ceiling: float = 0.8

    def exploration_weight_after(self, seen: Observations, space: SearchSpace) -> float:
        """Return the weight of the next choice; it grows while no better pattern is found."""
        whole = seen.inside(space) & (seen.noise == 0)
        if not whole.any():
            return self.exploration_weight
        stale = len(seen) - 1 - int(np.argmin(np.where(whole, seen.values, np.inf)))
        grown = self.exploration_weight + self.exploration_growth * stale
        return min(grown, max(self.exploration_limit, self.exploration_weight))

    def learn(self, seen: Observations, space: SearchSpace) -> GaussianProcess:
        """Return the Gaussian process conditioned on all observations."""
        layout, size = Layout.of(space.units), float(space.n_drop)
        # The fit uses only the first observations, so it is reused over many generations.
        some = seen.first(fitted_on(len(seen))).squeezed(self.ceiling, space)
        shape = _shape_for(
            space.units,
            size,
            self.powers,
            *(np.ascontiguousarray(a).tobytes() for a in (some.drops, some.values, some.noise)),
        )
        kept = seen.squeezed(self.ceiling, space).bounded()
        return GaussianProcess(SetKernel(layout, shape, size), kept.drops, kept.values, kept.noise)


@lru_cache(maxsize=_FITS_KEPT)
def _shape_for(
    units: tuple[Unit, ...], size: float, powers: int, drops: bytes, values: bytes, noise: bytes
) -> Shape:
    """Cached `fit_shape`; the float64 arrays are given as bytes to be hashable."""
    known = np.frombuffer(values)
    gone = np.frombuffer(drops).reshape(len(known), len(units))
    known = known - Trend.through(gone, known)(gone)
    scale = float(known.std()) or 1.0
    return fit_shape(
        Layout.of(units),
        gone,
        known / scale,
        np.frombuffer(noise) / scale**2,
        size=size,
        powers=powers,
    )


def surrogate_of(name: str) -> Surrogate | None:
    """The surrogate of this name: "gp", "linear", or None for "none"."""
    return {"gp": Surrogate(), "linear": Surrogate(powers=1), "none": None}[name]


def fitted_on(count: int) -> int:
    """The number of the `count` observations to fit on; it grows in steps, to avoid new fits."""
    size = float(_FIRST_FIT)
    while size * _GROWTH <= min(count, _FITTED_ON):
        size *= _GROWTH
    return min(count, int(size))


def prefer(
    proposals: Sequence[Genome],
    count: int,
    breed: Breed | None = None,
    *,
    surrogate: Surrogate,
    evaluator: CachedEvaluator,
    space: SearchSpace,
) -> Preference:
    """Choose `count` proposals to evaluate.

    If the leave-one-out predictions of the losses seen are no better than chance, the first
    `count` proposals are chosen, as in an evolution without a surrogate.

    Args:
        proposals: new patterns, in the order in which they were proposed.
        count: number of proposals to choose.
        breed: breeds further proposals, and says which patterns are pending; if None, the choice
            is among `proposals`.
        surrogate: the settings of the prediction.
        evaluator: holds the window sums of all patterns seen.
        space: the space of the patterns.
    """
    seen = observe(evaluator.rows, evaluator.tokens, space.dense)
    if len(seen) < 2:
        return Preference(tuple(proposals[:count]))
    process = surrogate.learn(seen, space)
    foreseen, variance = process.leave_one_out()
    usual = process.trend(process.drops)  # a correlation due to the number of drops does not count
    fit = rank_correlation(foreseen - usual, process.values - usual)
    trusted = fit > 0
    weight = surrogate.exploration_weight_after(seen, space)
    if trusted and breed is not None:
        proposals = _improved(proposals, process, weight, surrogate, breed, space)
    within_reach = [*(breed.pending if breed else ()), *(genome.pattern for genome in proposals)]
    pending = len(within_reach) - len(proposals)
    mean, covariance = process.predict(as_drops(within_reach))
    chosen = list(range(pending, min(pending + count, len(within_reach))))
    noise = process.kernel.shape.noise * process.scale**2
    if trusted:
        chosen = most_promising(
            mean, covariance, count, noise=noise, weight=weight, pending=pending
        )
    deviation = np.sqrt(np.diagonal(covariance) + noise)
    spread = Z90 * deviation[chosen]
    # Deviations that were too small for the losses known are too small for others.
    stretch = max(1.0, float(np.sqrt(np.mean((process.values - foreseen) ** 2 / variance))))
    prospect = prospect_of(evaluator, space, seen, mean, stretch * deviation)
    foresight = Foresight(
        expected=seen.loss(mean[chosen]),
        low=seen.loss(mean[chosen] - spread),
        high=seen.loss(mean[chosen] + spread),
        trusted=trusted,
        fit=fit,
        cover=_coverage(process.values, foreseen, variance),
        prospect=prospect,
    )
    return Preference(tuple(proposals[place - pending] for place in chosen), foresight)


def _improved(
    proposals: Sequence[Genome],
    process: GaussianProcess,
    weight: float,
    surrogate: Surrogate,
    breed: Breed,
    space: SearchSpace,
) -> list[Genome]:
    """Return the proposals, children of those with the lowest bounds, and results of local search.

    Each round breeds as many children as there are proposals.
    """

    def bound(drops: Drops) -> NDArray[np.float64]:
        mean, variance = process.foresee(drops)
        lowest: NDArray[np.float64] = mean - weight * np.sqrt(variance)
        return lowest

    pool, bounds = list(proposals), bound(as_drops(proposals))
    for _ in range(surrogate.rounds - 1):
        best = _lowest(bounds, _PARENTS)
        parents = [Genome(pool[place].pattern, loss=float(bounds[place])) for place in best]
        bred = breed.children(parents, len(proposals), {genome.pattern for genome in pool})
        if not bred:
            break
        pool += bred
        bounds = np.concatenate([bounds, bound(as_drops(bred))])
    found = dict.fromkeys(genome.pattern for genome in pool)
    for place in _lowest(bounds, surrogate.climbers):
        (start,) = as_drops([pool[place]])
        found |= dict.fromkeys(local_search(start, bound, space, excluded=breed.seen))
    return [Genome(pattern) for pattern in found]


def _lowest(bounds: NDArray[np.float64], count: int) -> list[int]:
    places: list[int] = np.argsort(bounds, kind="stable")[:count].tolist()
    return places


def _coverage(
    values: NDArray[np.float64], foreseen: NDArray[np.float64], variance: NDArray[np.float64]
) -> float:
    """Share of `values` within the 90 % interval around the predictions."""
    return float((np.abs(values - foreseen) <= Z90 * np.sqrt(variance)).mean())
