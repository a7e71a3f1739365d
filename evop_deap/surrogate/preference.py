"""Of many proposals, those that the losses seen so far make worth an evaluation.

DEAP's operators propose; a Gaussian process over all that was seen decides. `prefer` is one of the
evolution's strategies, and all it goes by are the losses: the same ones give the same answer,
before a kill and after it.
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
from evop_deap.surrogate.trend import Trend

_FITTED_ON = 160  # observations at the most: parameters need fewer than predictions do
_FIRST_FIT, _GROWTH = 8, 1.3
_PARENTS = 16  # of a round of proposals
_FITS_KEPT = 32  # of searches that take turns
Z90 = 1.6448536269514722  # standard deviations either side that hold 90 % of a normal variable


@dataclass(frozen=True)
class Surrogate:
    """How it is predicted which proposals are worth an evaluation.

    Attributes:
        powers: of the kernel: 1 takes every drop for itself, 2 pairs, 3 triples.
        exploration_weight: standard deviations between the expected loss and the lower bound that
            proposals are chosen by.
        rounds: times that proposals are bred: first from the population, then each time from
            those that promise most so far.
        exploration_growth: what each evaluation that brings nothing better adds to that weight.
        exploration_limit: the weight at which this ends.
        climbers: of what was bred the most promising ones, from each of which swaps go on.
        ceiling: quantile of the values seen from which on they are taken for little worse than
            one another. How bad the bad ones are tells little of the good ones, and the kernel
            would spend itself on it.
    """

    powers: int = 3
    exploration_weight: float = 1.0
    rounds: int = 3
    exploration_growth: float = 0.025
    exploration_limit: float = 3.0
    climbers: int = 8
    ceiling: float = 0.8

    def exploration_weight_after(self, seen: Observations, space: SearchSpace) -> float:
        """The weight of the next choice: the longer nothing better was seen, the more."""
        whole = seen.inside(space) & (seen.noise == 0)
        if not whole.any():
            return self.exploration_weight
        stale = len(seen) - 1 - int(np.argmin(np.where(whole, seen.values, np.inf)))
        grown = self.exploration_weight + self.exploration_growth * stale
        return min(grown, max(self.exploration_limit, self.exploration_weight))

    def learn(self, seen: Observations, space: SearchSpace) -> GaussianProcess:
        """The process given everything seen."""
        layout, size = Layout.of(space.units), float(space.n_drop)
        # Nothing after the first of them moves these: the same fit serves many generations.
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
    """`fit_shape` of float64 arrays given as bytes, so that what was fitted is known again."""
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
    """How many of so many observations the parameters are found on: they change rarely."""
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
    """The `count` proposals that are most worth an evaluation.

    Where the losses seen are foreseen no better than by chance, each from the others, the first
    `count` proposals are taken, as an evolution without a surrogate would.

    Args:
        proposals: new patterns, in the order in which they were proposed.
        count: how many to choose.
        breed: has further proposals from the most promising ones, and knows what was seen;
            where it is not given, the choice is among `proposals`.
        surrogate: how to predict them.
        evaluator: knows the window sums of everything seen.
        space: what the patterns are of.
    """
    seen = observe(evaluator.rows, evaluator.tokens, space.dense)
    if len(seen) < 2:
        return Preference(tuple(proposals[:count]))
    process = surrogate.learn(seen, space)
    foreseen, variance = process.leave_one_out()
    usual = process.trend(process.drops)  # that fewer drops are better is no foresight
    fit = rank_correlation(foreseen - usual, process.values - usual)
    trusted = fit > 0
    weight = surrogate.exploration_weight_after(seen, space)
    if trusted and breed is not None:
        proposals = _improved(proposals, process, weight, surrogate, breed, space)
    mean, covariance = process.predict(as_drops(proposals))
    chosen = list(range(min(count, len(proposals))))
    noise = process.kernel.shape.noise * process.scale**2
    if trusted:
        chosen = most_promising(mean, covariance, count, noise=noise, weight=weight)
    spread = Z90 * np.sqrt(np.diagonal(covariance)[chosen] + noise)
    foresight = Foresight(
        expected=seen.loss(mean[chosen]),
        low=seen.loss(mean[chosen] - spread),
        high=seen.loss(mean[chosen] + spread),
        trusted=trusted,
        fit=fit,
        cover=_coverage(process.values, foreseen, variance),
    )
    return Preference(tuple(proposals[place] for place in chosen), foresight)


def _improved(
    proposals: Sequence[Genome],
    process: GaussianProcess,
    weight: float,
    surrogate: Surrogate,
    breed: Breed,
    space: SearchSpace,
) -> list[Genome]:
    """The proposals, children of the best of them by their bounds, and where swaps lead from there.

    As many children a round as there are proposals.
    """

    def bound(drops: Drops) -> NDArray[np.float64]:
        mean, variance = process.foresee(drops)
        lowest: NDArray[np.float64] = mean - weight * np.sqrt(variance)
        return lowest

    pool, bounds = list(proposals), bound(as_drops(proposals))
    for _ in range(surrogate.rounds - 1):
        best = _lowest(bounds, _PARENTS)
        parents = [Genome(pool[place].pattern, loss=float(bounds[place])) for place in best]
        beside = {genome.pattern for genome in pool}
        bred = breed.children(parents, len(proposals), beside)
        if not bred:
            break
        pool += bred
        bounds = np.concatenate([bounds, bound(as_drops(bred))])
    ways = dict.fromkeys(genome.pattern for genome in pool)
    for place in _lowest(bounds, surrogate.climbers):
        (start,) = as_drops([pool[place]])
        ways |= dict.fromkeys(local_search(start, bound, space, beside=breed.seen))
    return [Genome(pattern) for pattern in ways]


def _lowest(bounds: NDArray[np.float64], count: int) -> list[int]:
    places: list[int] = np.argsort(bounds, kind="stable")[:count].tolist()
    return places


def _coverage(
    values: NDArray[np.float64], foreseen: NDArray[np.float64], variance: NDArray[np.float64]
) -> float:
    """Share of `values` within the 90 % interval about what was foreseen."""
    return float((np.abs(values - foreseen) <= Z90 * np.sqrt(variance)).mean())
