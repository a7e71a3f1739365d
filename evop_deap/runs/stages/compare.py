"""Compare the pattern found with the runner-up and with the picks of heuristics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.numbers import finite_or_worst
from evop_deap.fitness.paired import paired_difference
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.near_equals import NearEqual
from evop_deap.runs.storage.text_losses import PairedLoss, Rival
from evop_deap.space import Pattern, SearchSpace, dropped_units

Rows = Mapping[Pattern, NDArray[np.float64]]
"""Pattern -> (windows,) sums of losses, in nats."""

Losses = tuple[Rows, NDArray[np.int64]]
"""The sums of patterns, and the (windows,) predicted tokens."""


def second_best(losses: Mapping[Pattern, float], near: Sequence[NearEqual]) -> Pattern | None:
    """Return the second best pattern, or None where no other was evaluated on all windows."""
    if len(near) > 1:
        return near[1].pattern
    others = {pattern: loss for pattern, loss in losses.items() if pattern != near[0].pattern}
    return min(others, key=others.__getitem__) if others else None


def picked_by_heuristics(found: Found) -> dict[Pattern, tuple[str, ...]]:
    """Return the seed patterns with the names of the heuristics that picked them, best first.

    Patterns that were not evaluated within the limits are left out.
    """
    names: dict[Pattern, tuple[str, ...]] = {}
    for name, pattern in found.picks.items():
        if pattern in found.losses:
            names[pattern] = (*names.get(pattern, ()), name)
    return dict(sorted(names.items(), key=lambda item: found.losses[item[0]]))


def rival(
    found: Pattern,
    other: Pattern,
    *,
    space: SearchSpace,
    texts: tuple[Losses, Losses],
    names: tuple[str, ...] = (),
    compensated: bool = False,
) -> Rival:
    """Compare another pattern with the one found, on both texts.

    Args:
        found: the pattern of the result.
        other: the pattern to compare it with.
        space: the search space of both.
        texts: sums of both on calibration windows and on held-out windows.
        names: names of the heuristics that picked `other`.
        compensated: whether both are compensated, as the search does it.
    """
    on_calibration, on_heldout = (
        paired_loss(rows[found], rows[other], tokens) for rows, tokens in texts
    )
    dropped = tuple(space.units[unit].name for unit in dropped_units(other))
    return Rival(names, dropped, on_calibration, on_heldout, compensated)


def paired_loss(
    found: NDArray[np.float64], other: NDArray[np.float64], tokens: NDArray[np.int64]
) -> PairedLoss:
    """Compare two patterns by their (windows,) sums and the predicted tokens of each window.

    Example:
        >>> paired_loss(np.array([30.0, 40.0]), np.array([32.0, 44.0]), np.array([10, 10])).said
        '0.300 ± 0.100 nats a token better than'
    """
    loss = finite_or_worst(float(other.sum() / tokens.sum()))
    if not (np.isfinite(found).all() and np.isfinite(other).all()):
        return PairedLoss(loss, None, None)
    difference, error = paired_difference(found, other, tokens)
    return PairedLoss(loss, difference, error if len(tokens) > 1 else None)
