"""What values vary about where patterns drop different numbers of units.

Excess losses grow about as a power of how many units go: their logarithms lie about a line over
the logarithm of that number. The line is taken off before a kernel is asked, which would else
spend itself on what every pattern of a size has in common.
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
        level: where one unit goes.
        slope: what is added where e times as many go.

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
        """The line of least squares; level at the mean where all patterns drop as many units."""
        sizes = _log_sizes(drops)
        if not len(sizes) or sizes.min() == sizes.max():
            return cls(float(values.mean()))
        slope, level = np.polyfit(sizes, values, 1).tolist()
        return cls(level, slope)

    def __call__(self, drops: Drops) -> NDArray[np.float64]:
        """(patterns,) what is usual for patterns of their sizes."""
        line: NDArray[np.float64] = self.level + self.slope * _log_sizes(drops)
        return line


def _log_sizes(drops: Drops) -> NDArray[np.float64]:
    sizes: NDArray[np.float64] = np.log(np.maximum(drops.sum(axis=1), 1.0))
    return sizes
