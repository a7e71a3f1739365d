"""Means with an error that has several sources: windows or questions, and seeds or draws.

The variances of independent sources add up. A source of few values tells little about its own
variance, so every error has degrees of freedom (Welch and Satterthwaite), and intervals are of
Student's distribution.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_TAIL = 0.025


@dataclass(frozen=True)
class Estimated:
    """A value with its standard error.

    Attributes:
        value: the value.
        error: its standard error; 0 if a single value was seen.
        freedom: degrees of freedom of the error.

    Example:
        >>> few = Estimated.of([1.0, 2.0, 3.0])
        >>> round(few.error, 3), few.freedom
        (0.577, 2.0)
        >>> [round(end, 2) for end in few.interval()]
        [-0.48, 4.48]
    """

    value: float
    error: float = 0.0
    freedom: float = math.inf

    @classmethod
    def of(cls, values: Sequence[float] | NDArray[np.float64]) -> Estimated:
        """Return the mean of independent values, at least one."""
        found = np.asarray(values, dtype=np.float64)
        if len(found) < 2:
            return cls(float(found.mean()))
        error = float(found.std(ddof=1)) / math.sqrt(len(found))
        return cls(float(found.mean()), error, len(found) - 1.0)

    @classmethod
    def mean(cls, parts: Sequence[Estimated]) -> Estimated:
        """Return the mean of independent estimates, which have equal weights."""
        value = sum(part.value for part in parts) / len(parts)
        return cls(value).with_errors(parts, 1 / len(parts))

    def with_errors(self, sources: Iterable[Estimated], weight: float = 1.0) -> Estimated:
        """Return the same value with further sources of error.

        Args:
            sources: estimates, of which only the errors count.
            weight: of each of them in this value.
        """
        parts = [(self.error**2, self.freedom)]
        parts += [((weight * source.error) ** 2, source.freedom) for source in sources]
        variance = sum(part for part, _ in parts)
        doubt = sum(part**2 / freedom for part, freedom in parts)
        freedom = variance**2 / doubt if doubt else math.inf
        return replace(self, error=math.sqrt(variance), freedom=freedom)

    def interval(self) -> tuple[float, float]:
        """Return the ends of the interval of 95 %."""
        from scipy.special import stdtrit

        reach = -float(stdtrit(min(self.freedom, 1e9), _TAIL)) * self.error
        return self.value - reach, self.value + reach


def mean_by_item(several: Iterable[Sequence[NDArray[np.float64]]]) -> list[NDArray[np.float64]]:
    """Return the mean of several figures for each item of each part, over the items that all have.

    Args:
        several: at least one; for each, the figures of each part, such as a domain or a task.

    Example:
        >>> one, other = [np.array([1.0, 2.0])], [np.array([3.0, 6.0, 9.0])]
        >>> [part.tolist() for part in mean_by_item([one, other])]
        [[2.0, 4.0]]
    """
    found = []
    for part in zip(*several, strict=True):
        shortest = min(map(len, part))
        found.append(np.mean([figures[:shortest] for figures in part], axis=0))
    return found
