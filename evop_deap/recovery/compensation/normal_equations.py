"""Least squares by normal equations: memory goes with inputs squared, and not with tokens.

Rows are weighted: of (rows,) w, what is minimised is the sum of w² times a row's squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

RIDGES = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Ridges tried, as shares of the mean square of an input summed over tokens."""


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
    """min ‖X·D - E‖² + λ‖D‖², over rows that come window by window, in float64.

    Attributes:
        intercept: whether an offset is fitted too, the last row of D, free of the ridge.
        rows: rows seen.
        gram: XᵀX, weighted, (inputs, inputs).
        cross: XᵀE, likewise, (inputs, outputs).
    """

    intercept: bool = False
    rows: int = 0
    gram: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    cross: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0))

    def add(self, rows: Rows) -> None:
        """Take in rows."""
        x, e = self._weighted(rows)
        if not self.rows:
            self.gram, self.cross = x.new_zeros(x.shape[1], x.shape[1]), x.T @ e * 0
        self.gram.addmm_(x.T, x)
        self.cross.addmm_(x.T, e)
        self.rows += len(x)

    @property
    def work_per_row(self) -> int:
        """Multiply-adds that taking in a row costs."""
        return self.gram.shape[0] * (self.gram.shape[0] + self.cross.shape[1])

    def solve(self, ridge: float) -> torch.Tensor | None:
        """D, (inputs, outputs), an offset last; None where the equations are singular.

        Args:
            ridge: share of the mean of XᵀX's diagonal, the offset's left out.
        """
        diagonal = self.gram.diagonal()
        inputs = diagonal[: len(diagonal) - self.intercept]
        loaded = self.gram.clone()
        loaded.diagonal()[: len(inputs)] += ridge * inputs.mean()
        factor, failed = torch.linalg.cholesky_ex(loaded)
        if bool(failed):
            return None
        solution = torch.cholesky_solve(self.cross, factor)
        return solution if bool(solution.isfinite().all()) else None

    def remaining(self, solution: torch.Tensor, rows: Rows) -> float:
        """‖X·D - E‖² on other rows."""
        x, e = self._weighted(rows)
        return float((e - x @ solution).square().sum())

    def _weighted(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        x, w = exact(rows.inputs), exact(rows.weights)[:, None]
        x = torch.cat([x, x.new_ones(len(x), 1)], 1) if self.intercept else x
        return w * x, w * exact(rows.errors)


@dataclass(frozen=True, eq=False)
class Solution:
    """What least squares came to.

    Attributes:
        values: D.
        ridge: the one chosen.
        remaining: ‖X·D - E‖² on the rows kept aside.
    """

    values: torch.Tensor
    ridge: float
    remaining: float


def best_ridge(
    equations: NormalEquations,
    aside: Sequence[Rows],
    ridges: Sequence[float] = RIDGES,
) -> Solution | None:
    """The solution whose ridge leaves least on rows kept aside; None where none can be had.

    Args:
        equations: of the other rows.
        aside: rows kept aside.
        ridges: those to try.
    """
    found: list[Solution] = []
    for ridge in ridges:
        values = equations.solve(ridge)
        if values is not None:
            left = sum(equations.remaining(values, rows) for rows in aside)
            found.append(Solution(values, ridge, left))
    return min(found, key=lambda one: one.remaining, default=None)


def exact(tensor: torch.Tensor) -> torch.Tensor:
    """In float64, on the host where the device does not know it."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
