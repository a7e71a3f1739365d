"""Windows chosen by how their losses respond to pruning, rather than by what they are about.

Kernel herding (Chen, Welling and Smola 2010, arXiv 1203.3472) with equal weights: the running
mean of what was chosen follows the mean of the pool, for as many patterns as were probed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.calibration.balance import Balance

POOL = 4
"""Windows looked at for each one chosen."""

Respond: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""(windows, length) token ids in, (patterns, windows) losses of the probe patterns out."""


def herd(responses: NDArray[np.float64], count: int | None = None) -> list[int]:
    """Windows in the order in which their running mean stays nearest the mean of all.

    Each pattern's losses are centred and scaled first: what all windows have in common tells
    none from another, and a pattern of larger losses is no better a witness.

    Args:
        responses: (patterns, windows) finite losses of probe patterns.
        count: how many windows to choose; by default all.

    Raises:
        InputError: there is nothing to choose from, or a loss is not finite.

    Example:
        >>> herd(np.array([[1.0, 2.0, 3.0, 2.1]]), count=2)
        [1, 3]
    """
    standard = _standardised(responses)  # (patterns, windows), mean 0
    windows = standard.shape[1]
    wanted = windows if count is None else min(count, windows)
    lengths = (standard**2).sum(axis=0)
    run = np.zeros(len(standard))  # sum over the chosen
    chosen: list[int] = []
    free = np.ones(windows, dtype=bool)
    for _ in range(wanted):
        # |run + x|² up to what is the same for every candidate x
        distances = np.where(free, lengths + 2 * (run @ standard), np.inf)
        best = int(distances.argmin())
        chosen.append(best)
        free[best] = False
        run += standard[:, best]
    return chosen


def herd_within(responses: NDArray[np.float64], labels: NDArray[np.int64], count: int) -> list[int]:
    """Windows herded within each stratum, and the strata taken in turn by their share.

    Args:
        responses: (patterns, windows) finite losses of probe patterns.
        labels: (windows,) stratum of each; its share of the pool is its share of the choice.
        count: how many windows to choose.

    Raises:
        InputError: there is nothing to choose from, or a loss is not finite.
    """
    _standardised(responses)  # refuses what cannot be herded
    names, counts = np.unique(labels, return_counts=True)
    members = [np.nonzero(labels == name)[0] for name in names]
    orders = [iter(rows[herd(responses[:, rows])].tolist()) for rows in members]
    balance = Balance(counts.tolist())
    chosen: list[int] = []
    while len(chosen) < min(count, len(labels)):
        who = balance.next()
        window = next(orders[who], None)
        if window is None:
            balance.leave(who)
        else:
            chosen.append(window)
    return chosen


def _standardised(responses: NDArray[np.float64]) -> NDArray[np.float64]:
    if responses.ndim != 2 or 0 in responses.shape:
        raise InputError(
            "`responses` must hold losses of at least one pattern on one window, "
            f"but got shape {responses.shape}"
        )
    if not np.isfinite(responses).all():
        raise InputError("`responses` must be finite: leave out patterns that lose all sense")
    centred = responses - responses.mean(axis=1, keepdims=True)
    scales = centred.std(axis=1, keepdims=True)
    standard: NDArray[np.float64] = np.divide(
        centred, scales, out=np.zeros_like(centred), where=scales > 0
    )
    return standard
