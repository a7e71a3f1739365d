"""An evaluator that reads losses from a table, for searches without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.fitness.landscape import Landscape
from evop_deap.fitness.landscape_table import read_landscape
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.space import Pattern


class TabularEvaluator:
    """An evaluator with known losses.

    A table of plain losses has one window of one token, and each pattern costs one dense forward
    pass. A landscape has several windows, and costs are those of the population evaluator for the
    same patterns.

    Args:
        losses: nats per token of each pattern, or a landscape.
        missing: loss of patterns that are not in the table; with None they are errors.

    Example:
        >>> TabularEvaluator({(1, 0): 2.5}).evaluate([(1, 0)]).losses
        array([2.5])

    Raises:
        InputError: from `evaluate`, for a pattern that is not in the table.
    """

    def __init__(
        self, losses: Mapping[Pattern, float] | Landscape, *, missing: float | None = None
    ) -> None:
        self._missing = missing
        self._landscape = losses if isinstance(losses, Landscape) else None
        if isinstance(losses, Landscape):
            self._rows: Mapping[Pattern, int] = losses.rows
            self._sums, self._tokens = losses.sums, losses.tokens
        else:
            self._rows = {pattern: row for row, pattern in enumerate(losses)}
            self._sums = np.array([[loss] for loss in losses.values()]).reshape(len(losses), 1)
            self._tokens = np.ones(1, dtype=np.int64)

    @classmethod
    def from_file(cls, path: str | Path) -> TabularEvaluator:
        """Return an evaluator of the landscape file at `path`.

        Raises:
            InputError: the file cannot be read or is not a landscape.
        """
        return cls(read_landscape(Path(path)))

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Return the losses of each pattern, on all windows or on some by index."""
        keys = [tuple(pattern) for pattern in patterns]
        asked = list(range(len(self._tokens)) if windows is None else windows)
        sums = np.array([self._row(key) for key in keys]).reshape(len(keys), len(self._tokens))
        costs = self._costs(keys) * len(asked) / len(self._tokens)
        work = Work(executed=float(costs.sum()))
        return Evaluation(sums[:, asked], self._tokens[asked], costs, work)

    def _costs(self, patterns: Sequence[Pattern]) -> NDArray[np.float64]:
        """(patterns,) costs on all windows."""
        if self._landscape is None:
            return np.ones(len(patterns))
        work = [unit.work for unit in self._landscape.units]
        return walk_costs(patterns, work, self._landscape.head_work)

    def _row(self, pattern: Pattern) -> NDArray[np.float64]:
        row = self._rows.get(pattern)
        if row is not None:
            return np.asarray(self._sums[row])
        if self._missing is None:
            raise InputError(f"the table has no loss for the pattern {pattern}")
        return self._missing * self._tokens.astype(np.float64)
