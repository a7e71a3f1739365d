"""The mean function of the surrogate, for patterns with different numbers of drops.

Excess losses grow roughly as a power of the number of dropped units, so their logarithms follow a
line over the logarithm of that number. The line is subtracted first, and the kernel models only
the differences between patterns of the same size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evop_deap.surrogate.kernel import Drops


@dataclass(frozen=True)
class Trend:
    """A line over the logarithm of the number of drops.

    Attributes:
        level: value for one dropped unit.
        slope: increase per factor of e in the number of drops.

    Example:
        >>> drops = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
        >>> trend = Trend.through(drops, np.array([1.0, 3.0]))
        >>> trend(np.ones((1, 4))).round(6)
        array([5.])
    """

    level: float
    slope: float = 0.0

    @classmethod
    def through(cls, drops: Drops, values: NDArray[np.float64]) -> Trend:
        """Fit the line by least squares; it is constant if all patterns drop equally many units."""
        sizes = _log_sizes(drops)
        if not len(sizes) or sizes.min() == sizes.max():
            return cls(float(values.mean()))
        slope, level = np.polyfit(sizes, values, 1).tolist()
        return cls(level, slope)

    def __call__(self, drops: Drops) -> NDArray[np.float64]:
        """(patterns,) value of the trend for each pattern."""
        line: NDArray[np.float64] = self.level + self.slope * _log_sizes(drops)
        return line


def _log_sizes(drops: Drops) -> NDArray[np.float64]:
    sizes: NDArray[np.float64] = np.log(np.maximum(drops.sum(axis=1), 1.0))
    return sizes
