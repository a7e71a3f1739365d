"""An in-memory cache around an evaluator: no pattern is ever paid for twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.fitness.evaluation import Evaluation, Evaluator
from evop_deap.space import Pattern


class CachedEvaluator:
    """Remembers the window sums of every pattern and asks `evaluator` only for new ones.

    Example:
        >>> class Ones:
        ...     def evaluate(self, patterns, windows=None):
        ...         n = len(patterns)
        ...         return Evaluation(np.ones((n, 1)), np.ones(1, dtype=np.int64), np.ones(n))
        >>> cached = CachedEvaluator(Ones())
        >>> cached.evaluate([(1, 0), (1, 0)]).costs, cached.evaluate([(1, 0)]).hits
        (array([1., 0.]), 1)
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._rows: dict[Pattern, NDArray[np.float64]] = {}
        self._tokens: NDArray[np.int64] | None = None

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Judge each pattern; those seen before, or twice in `patterns`, cost nothing.

        Only judgements on all windows are remembered; those on some are passed on.
        """
        if windows is not None:
            return self._evaluator.evaluate(patterns, windows)
        keys = [tuple(pattern) for pattern in patterns]
        new = [key for key in dict.fromkeys(keys) if key not in self._rows]
        costs = dict.fromkeys(keys, 0.0)
        hits = len(keys) - len(new)
        if new or self._tokens is None:
            fresh = self._evaluator.evaluate(new)
            self._tokens = fresh.tokens
            self._rows.update(zip(new, fresh.sums, strict=True))
            costs.update(zip(new, fresh.costs.tolist(), strict=True))
            hits += fresh.hits
        return Evaluation(
            sums=np.array([self._rows[key] for key in keys]).reshape(len(keys), len(self._tokens)),
            tokens=self._tokens,
            # A pattern that stands in the population twice is paid for where it stands first.
            costs=np.array([costs.pop(key, 0.0) for key in keys]),
            hits=hits,
        )

    @property
    def rows(self) -> Mapping[Pattern, NDArray[np.float64]]:
        """The (windows,) sums of every pattern seen so far, in the order of evaluation."""
        return self._rows

    def restore(self, rows: Mapping[Pattern, NDArray[np.float64]]) -> None:
        """Take over what an earlier process has paid for."""
        self._rows.update(rows)
