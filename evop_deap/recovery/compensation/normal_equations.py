"""Least squares by normal equations: memory grows with the inputs squared, not with the tokens.

A row counts with its weight squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)
"""Ridges to try, as shares of the mean of the diagonal of XᵀX."""

QUICK_RIDGES = (0.1, 0.3, 1.0, 3.0)
"""Ridges that suit few rows. With them, float32 is exact enough."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a system.

    Attributes:
        inputs: (rows, inputs) X.
        errors: (rows, outputs) E.
        weights: (rows,) w.
    """

    inputs: torch.Tensor
    errors: torch.Tensor
    weights: torch.Tensor


@dataclass(eq=False)
class NormalEquations:
    """The minimum of ‖X·D - E‖² + λ‖D‖² over rows that arrive window by window.

    Attributes:
        intercept: whether an offset is fitted too, as the last row of D, without ridge.
        dtype: dtype of the sums and of the solution.
        rows: number of rows so far.
        gram: XᵀX, weighted, (inputs, inputs).
        cross: XᵀE, weighted, (inputs, outputs).
    """

    intercept: bool = False
    dtype: torch.dtype = torch.float64
    rows: int = 0
    gram: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    cross: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0))

    def add(self, rows: Rows) -> None:
        """Add rows."""
        x, e = self._weighted(rows)
        if not self.rows:
            self.gram, self.cross = x.new_zeros(x.shape[1], x.shape[1]), x.T @ e * 0
        self.gram.addmm_(x.T, x)
        self.cross.addmm_(x.T, e)
        self.rows += len(x)

    @property
    def work_per_row(self) -> int:
        """Multiply-adds to add a row."""
        return self.gram.shape[0] * (self.gram.shape[0] + self.cross.shape[1])

    def solve(self, ridge: float, every: int = 1) -> torch.Tensor | None:
        """Return D, (inputs, outputs), an offset last; None if the equations are singular.

        Args:
            ridge: share of the mean of the diagonal of XᵀX without the offset's entry.
            every: solve for one output in so many.
        """
        diagonal = self.gram.diagonal()
        inputs = diagonal[: len(diagonal) - self.intercept]
        loaded = self.gram.clone()
        loaded.diagonal()[: len(inputs)] += ridge * inputs.mean()
        factor, failed = torch.linalg.cholesky_ex(loaded)
        if bool(failed):
            return None
        solution = torch.cholesky_solve(self.cross[:, ::every], factor)
        return solution if bool(solution.isfinite().all()) else None

    def remaining(self, solution: torch.Tensor, rows: Rows, every: int = 1) -> float:
        """Return ‖X·D - E‖² on other rows, for one output in so many."""
        x, e = self._weighted(rows)
        return float((e[:, ::every] - x @ solution).square().sum())

    def _weighted(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        x, w, e = map(self._wide, (rows.inputs, rows.weights[:, None], rows.errors))
        x = torch.cat([x, x.new_ones(len(x), 1)], 1) if self.intercept else x
        return w * x, w * e

    def _wide(self, tensor: torch.Tensor) -> torch.Tensor:
        return exact(tensor) if self.dtype is torch.float64 else tensor.to(self.dtype)


@dataclass(frozen=True, eq=False)
class Solution:
    """A solution of least squares.

    Attributes:
        values: D.
        ridge: the chosen ridge.
        remaining: ‖X·D - E‖² on the rows kept aside, for the outputs compared by.
    """

    values: torch.Tensor
    ridge: float
    remaining: float


def best_ridge(
    equations: NormalEquations,
    aside: Sequence[Rows],
    ridges: Sequence[float] = RIDGES,
    every: int = 1,
) -> Solution | None:
    """Return the solution with the least error on the rows kept aside; None if all are singular.

    Args:
        equations: the equations of the other rows.
        aside: rows kept aside.
        ridges: ridges to try.
        every: compare by one output in so many.
    """
    found: list[Solution] = []
    for ridge in ridges:
        values = equations.solve(ridge, every)
        if values is not None:
            left = sum(equations.remaining(values, rows, every) for rows in aside)
            found.append(Solution(values, ridge, left))
    best = min(found, key=lambda one: one.remaining, default=None)
    if best is None or every == 1:
        return best
    whole = equations.solve(best.ridge)
    return None if whole is None else replace(best, values=whole)


def exact(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in float64, on the host if the device has no float64."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
