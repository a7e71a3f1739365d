"""An in-memory cache around an evaluator: no window of a pattern is ever paid for twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.fitness.unknown_windows import evaluate_unknown
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
        """Judge each pattern on all windows, or on some; what was seen before costs nothing."""
        return evaluate_unknown(
            self._evaluator, patterns, windows, self.tokens, recall=self._recall, keep=self._keep
        )

    @property
    def tokens(self) -> NDArray[np.int64]:
        """(windows,) predicted tokens of each of the evaluator's windows."""
        if self._tokens is None:
            self._tokens = self._evaluator.evaluate([]).tokens
        return self._tokens

    @property
    def rows(self) -> Mapping[Pattern, NDArray[np.float64]]:
        """The (windows,) sums of every pattern seen so far, in the order of evaluation.

        NaN stands where a pattern has not been judged.
        """
        return self._rows

    def restore(self, rows: Mapping[Pattern, NDArray[np.float64]]) -> None:
        """Take over what an earlier process has paid for."""
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
            # NaN says that nothing is known; a sum that came out as no number is known, and lost.
            row[windows] = np.where(np.isnan(found), np.inf, found)
