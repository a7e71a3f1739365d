"""Rank correlation of two lists of numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman's correlation, -1 to 1, with average ranks for ties; 0 if either list is constant.

    Example:
        >>> round(rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([5.0, 7.0, 6.0])), 9)
        0.5
    """
    from scipy.stats import rankdata

    if len(first) < 2:
        return 0.0
    one, other = rankdata(first), rankdata(second)
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size > 0 else 0.0
