"""An exact Gaussian process over patterns, in NumPy (Rasmussen and Williams 2006)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evop_deap.surrogate.kernel import Drops, SetKernel
from evop_deap.surrogate.trend import Trend


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A Gaussian process conditioned on the values of some patterns.

    The mean function is a `Trend`: constant, or linear in the logarithm of the number of drops if
    that number varies. The kernel's variances are relative to the variance of the residuals.

    Attributes:
        kernel: covariance function of patterns.
        drops: (observations, units) patterns seen.
        values: (observations,) their values.
        noise: (observations,) variance of each value's own error, added to the kernel's noise.

    Example:
        >>> from evop_deap.space import Unit
        >>> from evop_deap.surrogate.kernel import Layout, Shape, as_drops
        >>> units = tuple(Unit(str(i), 1, 1) for i in range(4))
        >>> kernel = SetKernel(Layout.of(units), Shape((1.0,), noise=1e-4), size=1)
        >>> seen = as_drops([(0, 1, 1, 1), (1, 1, 1, 0)])
        >>> process = GaussianProcess(kernel, seen, np.array([1.0, 3.0]), np.zeros(2))
        >>> mean, _ = process.predict(as_drops([(1, 0, 1, 1)]))
        >>> bool(mean[0] < 2.0)
        True
    """

    kernel: SetKernel
    drops: Drops
    values: NDArray[np.float64]
    noise: NDArray[np.float64]

    def predict(self, drops: Drops) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(patterns,) means and (patterns, patterns) covariances, without noise."""
        across = self.kernel(self.drops, drops)
        part = _solve_lower(self._factor, across)
        covariance = self.kernel(drops, drops) - part.T @ part
        mean = self.trend(drops) + self.scale * (across.T @ self.weights)
        return mean, self.scale**2 * covariance

    def foresee(self, drops: Drops) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(patterns,) means and variances, as `predict` but without the full covariances."""
        across = self.kernel(self.drops, drops)
        part = _solve_lower(self._factor, across)
        left = self.kernel.variance(drops) - np.einsum("op,op->p", part, part)
        mean = self.trend(drops) + self.scale * (across.T @ self.weights)
        return mean, self.scale**2 * np.maximum(left, 0.0)

    def leave_one_out(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(observations,) leave-one-out mean and variance of each value (eq. 5.12)."""
        precision = np.diagonal(self._inverse)
        foreseen = self.values - self.scale * self.weights / precision
        return foreseen, self.scale**2 / precision

    @cached_property
    def trend(self) -> Trend:
        """The mean function, fitted to the values."""
        return Trend.through(self.drops, self.values)

    @cached_property
    def scale(self) -> float:
        """The standard deviation of the values about their trend; 1 if that is 0."""
        return float((self.values - self.trend(self.drops)).std()) or 1.0

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(observations,) K⁻¹y, with y the residuals of the trend divided by `scale`."""
        about = (self.values - self.trend(self.drops)) / self.scale
        weights: NDArray[np.float64] = self._inverse @ about
        return weights

    @cached_property
    def _factor(self) -> NDArray[np.float64]:
        noise = self.kernel.shape.noise + self.noise / self.scale**2
        covariance = self.kernel(self.drops, self.drops) + np.diag(noise)
        return np.linalg.cholesky(covariance).astype(np.float64, copy=False)

    @cached_property
    def _inverse(self) -> NDArray[np.float64]:
        part = _solve_lower(self._factor, np.eye(len(self.values)))
        inverse: NDArray[np.float64] = part.T @ part
        return inverse


def _solve_lower(factor: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.linalg import solve_triangular

    solved: NDArray[np.float64] = solve_triangular(factor, right, lower=True, check_finite=False)
    return solved
