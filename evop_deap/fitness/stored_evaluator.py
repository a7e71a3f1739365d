"""An evaluator that stores its results permanently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.fitness.unknown_windows import evaluate_unknown
from evop_deap.space import Pattern


class Store(Protocol):
    """A store of window sums: a `LossStore`, or a wrapper of one."""

    def get(
        self, context: str, patterns: Sequence[Pattern], windows: Sequence[str]
    ) -> NDArray[np.float64]:
        """(patterns, windows) sums; NaN where nothing is stored."""
        ...

    def put(
        self,
        context: str,
        patterns: Sequence[Pattern],
        windows: Sequence[str],
        sums: NDArray[np.float64],
    ) -> None:
        """Store (patterns, windows) sums."""
        ...


class StoredEvaluator:
    """Calls `evaluator` only for the window sums that are not stored yet.

    Args:
        evaluator: evaluates patterns whose sums are not stored.
        store: sums are read from it, and written as soon as they are computed.
        context: everything that affects the bits of a sum, except pattern and window: weights,
            dtype, fitness, evaluator, device, versions.
        windows: a content hash of each of the evaluator's windows.
        tokens: (windows,) number of predicted tokens.

    Raises:
        InputError: `tokens` and `windows` differ in length.
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
        """Evaluate each pattern on all windows, or on some by index; stored sums cost nothing.

        The cost of a repeated pattern counts at its first position.
        """
        return evaluate_unknown(
            self._evaluator, patterns, windows, self._tokens, recall=self._recall, keep=self._keep
        )

    def _recall(self, patterns: Sequence[Pattern], windows: Sequence[int]) -> NDArray[np.float64]:
        return self._store.get(self._context, patterns, [self._windows[w] for w in windows])

    def _keep(
        self, patterns: Sequence[Pattern], windows: Sequence[int], sums: NDArray[np.float64]
    ) -> None:
        self._store.put(self._context, patterns, [self._windows[w] for w in windows], sums)
