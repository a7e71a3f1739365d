"""Extrapolation of a value from some windows to all windows.

Patterns that a race eliminated were evaluated on the first windows only. Losses on these windows
are systematically lower or higher than on all windows. The patterns that were evaluated on all
windows serve as references: for them both values are known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ALIKE = 0.5  # difference of log excess losses at which a reference has weight exp(-0.5) = 0.6
_OWN = 0.3  # weight of a pattern's own windows, where a reference has at most 1


def carried_over(
    part: NDArray[np.float64],
    own: NDArray[np.float64],
    whole: NDArray[np.float64],
    whole_in_part: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate values over all windows for patterns evaluated on a part of them.

    The estimate adds the weighted mean difference of the references between all windows and the
    part. References with a similar loss on the part weigh more. The pattern's own value counts as
    a reference of small weight with a difference of 0.

    Args:
        part: (patterns,) logarithms of excess losses on the same part of the windows.
        own: (patterns,) variance of each as an estimate over all windows, from its own windows.
        whole: (references,) logarithms of excess losses over all windows.
        whole_in_part: (references,) logarithms of their excess losses on the part.

    Returns:
        (patterns,) estimates and (patterns,) variances.

    Example:
        >>> whole, whole_in_part = np.full(9, 0.5), np.zeros(9)
        >>> values, variances = carried_over(np.zeros(1), np.full(1, 0.3), whole, whole_in_part)
        >>> values.round(2).tolist(), variances.round(2).tolist()
        ([0.48], [0.02])
    """
    weights = np.exp(-0.5 * ((part[:, None] - whole_in_part) / _ALIKE) ** 2)
    total = weights.sum(axis=1) + _OWN
    off = whole - whole_in_part
    mean = weights @ off / total
    spread = (weights * (off - mean[:, None]) ** 2).sum(axis=1)
    return part + mean, (_OWN * (own + mean**2) + spread) / total
