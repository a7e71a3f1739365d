"""Selection of windows by the response of their losses to pruning, not by their subject.

Kernel herding (Chen, Welling and Smola 2010, arXiv 1203.3472) with equal weights: for every probe
pattern, the mean loss over the chosen windows follows the mean over the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.calibration.balance import Balance

POOL = 4
"""Windows in the pool for each window to choose."""

Respond: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Maps (windows, length) token ids to (patterns, windows) losses of the probe patterns."""


def herd(responses: NDArray[np.float64], count: int | None = None) -> list[int]:
    """Return windows in the order that keeps their running mean nearest to the mean of all.

    The losses of each pattern are standardised first, so that every pattern has the same
    influence, whatever its mean loss and spread.

    Args:
        responses: (patterns, windows) finite losses of probe patterns.
        count: number of windows to choose; by default all.

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
        # |run + x|² minus |run|², which is equal for all candidates x
        distances = np.where(free, lengths + 2 * (run @ standard), np.inf)
        best = int(distances.argmin())
        chosen.append(best)
        free[best] = False
        run += standard[:, best]
    return chosen


def herd_within(
    responses: NDArray[np.float64],
    labels: NDArray[np.int64],
    count: int,
    shares: Mapping[int, float] | None = None,
) -> list[int]:
    """Herd within each stratum, and take windows from the strata by their shares.

    Args:
        responses: (patterns, windows) finite losses of probe patterns.
        labels: (windows,) stratum of each.
        count: number of windows to choose.
        shares: share of the choice of each stratum; None takes those of the pool.

    Raises:
        InputError: there is nothing to choose from, or a loss is not finite.
    """
    _standardised(responses)  # raises InputError for invalid responses
    names, counts = np.unique(labels, return_counts=True)
    wanted = counts.tolist() if shares is None else [shares[name] for name in names.tolist()]
    members = [np.nonzero(labels == name)[0] for name in names]
    orders = [iter(rows[herd(responses[:, rows])].tolist()) for rows in members]
    balance = Balance(wanted)
    chosen: list[int] = []
    while len(chosen) < min(count, len(labels)):
        stratum = balance.next()
        window = next(orders[stratum], None)
        if window is None:
            balance.leave(stratum)
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
        raise InputError("`responses` must be finite: leave out patterns with other losses")
    centred = responses - responses.mean(axis=1, keepdims=True)
    scales = centred.std(axis=1, keepdims=True)
    standard: NDArray[np.float64] = np.divide(
        centred, scales, out=np.zeros_like(centred), where=scales > 0
    )
    return standard
