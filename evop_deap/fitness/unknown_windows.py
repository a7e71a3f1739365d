"""Evaluation of only those window sums that are not known yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.fitness.protocol import Evaluation, Evaluator, Work
from evop_deap.space import Pattern

Recall = Callable[[Sequence[Pattern], Sequence[int]], NDArray[np.float64]]
"""(patterns, windows by index) -> the known sums, NaN where nothing is known."""

Keep = Callable[[Sequence[Pattern], Sequence[int], NDArray[np.float64]], object]
"""Stores (patterns, windows) sums, given patterns and windows by index."""


def evaluate_unknown(
    evaluator: Evaluator,
    patterns: Sequence[Pattern],
    windows: Sequence[int] | None,
    tokens: NDArray[np.int64],
    *,
    recall: Recall,
    keep: Keep,
) -> Evaluation:
    """Evaluate each pattern on all windows, or on some; known sums cost nothing.

    The cost of a repeated pattern counts at its first position; later ones are known.

    Args:
        evaluator: evaluates the unknown sums.
        patterns: the patterns to evaluate.
        windows: indices of windows, or None for all.
        tokens: (all windows,) number of predicted tokens.
        recall: returns the known sums.
        keep: stores new sums, called after each part in case the process is interrupted later.
    """
    keys = [tuple(pattern) for pattern in patterns]
    asked = list(range(len(tokens)) if windows is None else windows)
    places = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    sums = recall(list(places), asked)
    costs, work = dict.fromkeys(keys, 0.0), Work()
    evaluated: set[Pattern] = set()
    for missing, group in _by_missing_windows(sums, list(places)).items():
        wanted = [asked[column] for column in missing]
        everything = wanted == list(range(len(tokens)))
        fresh = evaluator.evaluate(group, None if everything else wanted)
        keep(group, wanted, fresh.sums)
        sums[np.ix_([places[key] for key in group], missing)] = fresh.sums
        for key, cost in zip(group, fresh.costs.tolist(), strict=True):
            costs[key] += cost
        evaluated.update(key for key, was in zip(group, fresh.answered, strict=True) if not was)
        work += fresh.work
    known = np.ones(len(keys), dtype=bool)
    known[[keys.index(key) for key in evaluated]] = False
    return Evaluation(
        sums=sums[[places[key] for key in keys]],
        tokens=tokens[asked],
        costs=np.array([costs.pop(key, 0.0) for key in keys]),
        work=work,
        known=known,
    )


def _by_missing_windows(
    sums: NDArray[np.float64], patterns: Sequence[Pattern]
) -> dict[tuple[int, ...], list[Pattern]]:
    """The patterns with unknown sums, grouped by the columns of these sums."""
    unknown = np.isnan(sums)
    groups: dict[tuple[int, ...], list[Pattern]] = {}
    for row in np.flatnonzero(unknown.any(axis=1)).tolist():
        missing = tuple(np.flatnonzero(unknown[row]).tolist())
        groups.setdefault(missing, []).append(patterns[row])
    return groups
