"""From the windows that a pattern was evaluated on to all of them.

Where candidates race, losers have seen the first windows only. Those are easier or harder to
prune for than the rest, whatever goes, and by how much is known from the patterns that were
evaluated on all windows: each tells what it would have been taken for after the first ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ALIKE = 0.5  # a factor of e^0.5 between excess losses, at which a reference counts 0.6
_OWN = 0.3  # references that a pattern's own windows count as


def carried_over(
    part: NDArray[np.float64],
    own: NDArray[np.float64],
    whole: NDArray[np.float64],
    whole_in_part: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(patterns,) values over all windows to expect of patterns evaluated on some, and variances.

    References count by how much they lose on those windows: about as much as the pattern, or
    more, or less. What the pattern's own windows tell counts as a weak one that is not off at all.

    Args:
        part: (patterns,) logarithms of excess losses on the same part of the windows.
        own: (patterns,) variance of each as an estimate of all windows, by its own windows.
        whole: (references,) those of patterns evaluated on all windows, over all of them.
        whole_in_part: (references,) and on that part.

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
