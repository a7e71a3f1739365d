"""Ratios of held-out perplexities between a board's runs, paired by window.

All models are evaluated on the same windows, so the difficulty of a window cancels in differences.
The figure is the mean over domains of the mean loss in a domain, with equal weights; its
exponential is the geometric mean of the domains' perplexities. Intervals hold the chance of the
windows of each domain, and that of seeds or draws of the calibration text if there are several.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from benchmarks.board.making.run_files import HELDOUT, WIKI, Run
from benchmarks.board.tables.seeds import chance_of_seeds
from benchmarks.common.estimated import Estimated, mean_by_item

Pair = tuple[Sequence[Run], Sequence[Run]]
"""The runs of two methods in one cell."""

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
    def of(cls, log: Estimated) -> Ratio:
        """Return the ratio with this logarithm."""
        return cls(math.exp(log.value), *map(math.exp, log.interval()))

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


def ratio(runs: Sequence[Run], others: Sequence[Run]) -> Ratio:
    """Return the ratio of the perplexities of two methods.

    Example:
        >>> entry = {"role": "heldout", "window": 8, "losses": [1.0, 2.0, 3.0]}
        >>> a = {"judged": {"perplexity": [entry]}}
        >>> b = {"judged": {"perplexity": [{**entry, "losses": [1.5, 2.5, 3.5]}]}}
        >>> str(ratio([a], [b]))
        '0.607 (0.607 to 0.607)'
    """
    return mean_ratio([[(runs, others)]])


def mean_ratio(boards: Sequence[Sequence[Pair]]) -> Ratio:
    """Return the geometric mean of ratios over boards, each with equal weight.

    Args:
        boards: for each, the runs of two methods in each of its cells. All cells and boards have
            the same windows; the seeds of each are a sample of their own.
    """
    differences = mean_by_item(mean_by_item(map(_by_window, pairs)) for pairs in boards)
    windows = Estimated.mean([Estimated.of(domain) for domain in differences])
    logs = [np.mean([mean_loss(a) - mean_loss(b) for a, b in pairs]) for pairs in boards]
    log = replace(windows, value=float(np.mean(logs)))
    for pairs in boards:
        seeds = chain.from_iterable(chance_of_seeds(*pair, _loss_of) for pair in pairs)
        log = log.with_errors(seeds, 1 / len(boards) / len(pairs))
    return Ratio.of(log)


def _by_window(pair: Pair) -> list[NDArray[np.float64]]:
    """The mean difference of two methods in each window, by domain."""
    first, second = (mean_by_item(map(_losses_of, runs)) for runs in pair)
    return [one - other for one, other in zip(first, second, strict=True)]


def _losses_of(run: Run) -> list[NDArray[np.float64]]:
    return [np.array(domain) for domain in losses_by_domain(run)]


def _loss_of(run: Run) -> float:
    return mean_loss([run])
