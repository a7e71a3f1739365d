"""An evaluator whose results outlive the process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evop_deap.errors import InputError
from evop_deap.fitness.evaluation import Evaluation, Evaluator
from evop_deap.space import Pattern


class Store(Protocol):
    """Where sums can be looked up and put: a `LossStore`, or something that stands before one."""

    def get(
        self, context: str, patterns: Sequence[Pattern], windows: Sequence[str]
    ) -> NDArray[np.float64]:
        """(patterns, windows) sums; NaN where nothing is known."""
        ...

    def put(
        self,
        context: str,
        patterns: Sequence[Pattern],
        windows: Sequence[str],
        sums: NDArray[np.float64],
    ) -> None:
        """Take (patterns, windows) sums in."""
        ...


class StoredEvaluator:
    """Asks `evaluator` only for the window sums that no process has stored yet.

    Args:
        evaluator: judges what the store does not know.
        store: where sums are looked up, and kept as soon as they are known.
        context: everything that decides a bit of a sum, but for pattern and window: weights,
            dtype, fitness, evaluator, device, versions.
        windows: a content hash of each of the evaluator's windows.
        tokens: (windows,) predicted tokens of each.

    Raises:
        InputError: not as many `tokens` as `windows`.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        store: Store,
        *,
        context: str,
        windows: Sequence[str],
        tokens: NDArray[np.int64],
    ) -> None:
        if len(tokens) != len(windows):
            raise InputError(
                f"`tokens` must be one number for each of {len(windows)} windows, "
                f"but got {len(tokens)}"
            )
        self._evaluator = evaluator
        self._store = store
        self._context = context
        self._windows = tuple(windows)
        self._tokens = np.asarray(tokens, dtype=np.int64)

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Judge each pattern on all windows, or on some by index; what is stored costs nothing.

        A pattern that stands in `patterns` twice is paid for where it stands first.
        """
        keys = [tuple(pattern) for pattern in patterns]
        asked = list(range(len(self._windows)) if windows is None else windows)
        places = {key: at for at, key in enumerate(dict.fromkeys(keys))}
        sums = self._store.get(self._context, list(places), [self._windows[w] for w in asked])
        costs = dict.fromkeys(keys, 0.0)
        evaluated = 0
        for missing, group in _by_missing_windows(sums, list(places)).items():
            fresh = self._fresh(group, [asked[column] for column in missing])
            sums[np.ix_([places[key] for key in group], missing)] = fresh.sums
            costs.update(zip(group, fresh.costs.tolist(), strict=True))
            evaluated += len(group)
        return Evaluation(
            sums=sums[[places[key] for key in keys]],
            tokens=self._tokens[asked],
            costs=np.array([costs.pop(key, 0.0) for key in keys]),
            hits=len(keys) - evaluated,
        )

    def _fresh(self, patterns: Sequence[Pattern], windows: Sequence[int]) -> Evaluation:
        """What the evaluator says, kept at once: the next group may never finish."""
        everything = list(windows) == list(range(len(self._windows)))
        fresh = self._evaluator.evaluate(patterns, None if everything else windows)
        names = [self._windows[window] for window in windows]
        self._store.put(self._context, patterns, names, fresh.sums)
        return fresh


def _by_missing_windows(
    sums: NDArray[np.float64], patterns: Sequence[Pattern]
) -> dict[tuple[int, ...], list[Pattern]]:
    """The patterns with unknown sums, by the columns that they lack."""
    groups: dict[tuple[int, ...], list[Pattern]] = {}
    for pattern, unknown in zip(patterns, np.isnan(sums), strict=True):
        missing = tuple(np.flatnonzero(unknown).tolist())
        if missing:
            groups.setdefault(missing, []).append(pattern)
    return groups
