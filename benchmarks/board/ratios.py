"""Ratios of held-out perplexities between a board's runs, paired by window.

All models are evaluated on the same windows, so the difficulty of a window cancels in differences.
The figure is the mean over domains of the mean loss in a domain, with equal weights; its
exponential is the geometric mean of the domains' perplexities. Intervals come from a bootstrap over
the windows of each domain, and over seeds if there are several.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.board.run_files import HELDOUT, WIKI, Run

Pair = tuple[Sequence[Run], Sequence[Run]]
"""The runs of two methods in one cell."""

DRAWS = 4000
_MOST = 100.0  # nats; a loss that is not finite counts as this value


@dataclass(frozen=True)
class Ratio:
    """A ratio of perplexities.

    Attributes:
        value: below 1 if the first is better.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, log: float, drawn: NDArray[np.float64]) -> Ratio:
        """Return the ratio with this logarithm, from the (draws,) logarithms of a bootstrap."""
        low, high = np.quantile(drawn, [0.025, 0.975])
        return cls(math.exp(log), math.exp(low), math.exp(high))

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def losses_by_domain(run: Run) -> list[list[float]]:
    """The window losses of each domain of the text that the board ranks by.

    It is the held-out text, or wiki.test in its shortest windows if there is none.
    """
    entries = [entry for entry in run["judged"]["perplexity"] if entry["role"] == HELDOUT]
    if not entries:
        wiki = [entry for entry in run["judged"]["perplexity"] if entry["role"] == WIKI]
        entries = [min(wiki, key=lambda entry: int(entry["window"]))]
    return [[_MOST if x is None else min(x, _MOST) for x in entry["losses"]] for entry in entries]


def mean_loss(runs: Sequence[Run]) -> float:
    """The mean over runs of the mean over domains."""
    return float(np.mean([[np.mean(domain) for domain in losses_by_domain(run)] for run in runs]))


def perplexity(runs: Sequence[Run]) -> float:
    """The geometric mean over domains and runs."""
    return math.exp(mean_loss(runs))


def figure(value: float) -> str:
    """A perplexity as tables show it."""
    if not math.isfinite(value):
        return "inf"
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}" if value < 1e7 else f"{value:.1e}"


class Bootstrap:
    """Draws of windows, the same for all runs of a board.

    Args:
        like: any run of it.
        seed: of the draws.

    Example:
        >>> entry = {"role": "heldout", "window": 8, "losses": [1.0, 2.0, 3.0]}
        >>> a = {"judged": {"perplexity": [entry]}}
        >>> b = {"judged": {"perplexity": [{**entry, "losses": [1.5, 2.5, 3.5]}]}}
        >>> str(Bootstrap(a, seed=0).ratio([a], [b]))
        '0.607 (0.607 to 0.607)'
    """

    def __init__(self, like: Run, *, seed: int) -> None:
        rng = np.random.default_rng(seed)
        sizes = [len(domain) for domain in losses_by_domain(like)]
        draws = [rng.multinomial(n, [1 / n] * n, size=DRAWS) / n for n in sizes]
        self._windows = np.concatenate(draws, axis=1) / len(sizes)  # (draws, windows)
        self._seed = seed

    def ratio(self, runs: Sequence[Run], others: Sequence[Run]) -> Ratio:
        """The ratio of the perplexities of two methods, from their runs."""
        return self.mean_ratio([(runs, others)])

    def mean_ratio(self, pairs: Sequence[Pair]) -> Ratio:
        """The geometric mean of ratios over cells, all with the same bootstrap draws."""
        return mean_over_boards([(self, pairs)])

    def draws_of_seeds(self) -> np.random.Generator:
        """A generator for the draws of seeds; every figure begins anew, in whatever order."""
        return np.random.default_rng([self._seed, 1])

    def mean_logs(self, pairs: Sequence[Pair], rng: np.random.Generator) -> NDArray[np.float64]:
        """The (draws,) logarithms of the mean ratio, with seeds drawn from `rng`."""
        drawn = [self._drawn(runs, rng) - self._drawn(others, rng) for runs, others in pairs]
        mean: NDArray[np.float64] = np.mean(drawn, axis=0)
        return mean

    def _drawn(self, runs: Sequence[Run], rng: np.random.Generator) -> NDArray[np.float64]:
        """(draws,) mean losses over the seeds and windows drawn."""
        losses = np.array(
            [np.concatenate(losses_by_domain(run)) for run in runs]
        )  # (seeds, windows)
        count = len(runs)
        seeds = rng.multinomial(count, [1 / count] * count, size=DRAWS) / count
        found: NDArray[np.float64] = (self._windows @ losses.T * seeds).sum(axis=1)
        return found


def mean_over_boards(boards: Sequence[tuple[Bootstrap, Sequence[Pair]]]) -> Ratio:
    """Return the geometric mean of ratios over boards, each with equal weight.

    Args:
        boards: the bootstrap of each, and the runs of two methods in each of its cells. Windows are
            drawn alike in all boards, seeds anew in each.
    """
    rng = boards[0][0].draws_of_seeds()
    logs = [np.mean([mean_loss(a) - mean_loss(b) for a, b in pairs]) for _, pairs in boards]
    drawn = np.mean([bootstrap.mean_logs(pairs, rng) for bootstrap, pairs in boards], axis=0)
    return Ratio.of(float(np.mean(logs)), drawn)
