"""An in-memory cache around an evaluator: no window of a pattern is evaluated twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.fitness.unknown_windows import evaluate_unknown
from evop_deap.space import Pattern


class CachedEvaluator:
    """Caches the window sums of every pattern and calls `evaluator` only for new ones.

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
        """Evaluate each pattern on all windows, or on some; cached sums cost nothing."""
        return evaluate_unknown(
            self._evaluator, patterns, windows, self.tokens, recall=self._recall, keep=self._keep
        )

    @property
    def tokens(self) -> NDArray[np.int64]:
        """(windows,) number of predicted tokens of each window."""
        if self._tokens is None:
            self._tokens = self._evaluator.evaluate([]).tokens
        return self._tokens

    @property
    def rows(self) -> Mapping[Pattern, NDArray[np.float64]]:
        """The (windows,) sums of every pattern seen, in order of evaluation.

        NaN marks windows on which a pattern was not evaluated.
        """
        return self._rows

    def restore(self, rows: Mapping[Pattern, NDArray[np.float64]]) -> None:
        """Add the sums that an earlier process has computed."""
        self._rows.update({pattern: row.copy() for pattern, row in rows.items()})

    def _recall(self, patterns: Sequence[Pattern], windows: Sequence[int]) -> NDArray[np.float64]:
        nothing = np.full(len(self.tokens), np.nan)
        known = [self._rows.get(pattern, nothing) for pattern in patterns]
        return np.array(known).reshape(len(known), len(self.tokens))[:, windows]

    def _keep(
        self, patterns: Sequence[Pattern], windows: Sequence[int], sums: NDArray[np.float64]
    ) -> None:
        for pattern, found in zip(patterns, sums, strict=True):
            row = self._rows.setdefault(pattern, np.full(len(self.tokens), np.nan))
            # NaN means not evaluated, so a sum that was evaluated to NaN is stored as infinity.
            row[windows] = np.where(np.isnan(found), np.inf, found)
