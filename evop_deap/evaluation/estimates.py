"""Means with standard errors, and paired differences between models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.numbers import finite_or_none


@dataclass(frozen=True)
class Estimate:
    """A mean over independent items.

    Attributes:
        value: the mean.
        error: its standard error; None for a single item.

    Example:
        >>> mean_of([1.0, 2.0, 3.0])
        Estimate(value=2.0, error=0.5773502691896258)
        >>> difference_of([1.0, 2.0, 3.0], [0.5, 1.5, 2.5])
        Estimate(value=0.5, error=0.0)
    """

    value: float
    error: float | None

    def as_dict(self) -> dict[str, float | None]:
        """Plain JSON values; what is not finite becomes None."""
        return {"value": finite_or_none(self.value), "error": finite_or_none(self.error)}


def mean_of(values: Sequence[float] | NDArray[np.float64]) -> Estimate:
    """Return the mean of at least one value, and its standard error."""
    items = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # of infinite values
        error = float(items.std(ddof=1) / math.sqrt(len(items))) if len(items) > 1 else None
        return Estimate(float(items.mean()), error)


def difference_of(
    values: Sequence[float] | NDArray[np.float64], baseline: Sequence[float] | NDArray[np.float64]
) -> Estimate:
    """Return the mean of the paired differences `values - baseline`, and its standard error."""
    with np.errstate(invalid="ignore"):
        return mean_of(np.asarray(values, np.float64) - np.asarray(baseline, np.float64))
