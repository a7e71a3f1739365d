"""The difference between two patterns on the same windows, and its standard error."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def paired_difference(
    sums: NDArray[np.float64], others: NDArray[np.float64], tokens: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the mean difference over windows in nats a token, and its standard error.

    The pairing removes the difficulty that a window has for both patterns. The error is 0 for a
    single window.

    Args:
        sums: (windows,) sums of one pattern, in nats.
        others: (windows,) sums of the other pattern.
        tokens: (windows,) predicted tokens of each window.
    """
    difference = (sums - others) / tokens  # (windows,)
    count = len(difference)
    error = float(difference.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    return float(difference.mean()), error
