"""Shares of clusters, and an order of windows whose every beginning holds to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError

_POWERS = {"proportional": 1.0, "sqrt": 0.5, "equal": 0.0}
_ROUNDING = 1e-9


def shares_of(sizes: Sequence[float], allocation: str) -> NDArray[np.float64]:
    """The share of the windows that each cluster gets.

    Args:
        sizes: how much text each has; above 0.
        allocation: "proportional" to that, "equal" for all, or by its "sqrt", half-way between.

    Raises:
        InputError: no such allocation.

    Example:
        >>> shares_of([900, 100], "sqrt").tolist()
        [0.75, 0.25]
    """
    if allocation not in _POWERS:
        raise InputError(
            f"`allocation` must be proportional, equal or sqrt, but got '{allocation}'"
        )
    powers = np.asarray(sizes, dtype=np.float64) ** _POWERS[allocation]
    shares: NDArray[np.float64] = powers / powers.sum()
    return shares


class Balance:
    """Says whose turn it is, so that nobody is ever a whole turn away from a fair share.

    Tijdeman's solution of the chairman assignment problem (Discrete Mathematics 32, 1980): after
    n turns, each of k has had its share of n, give or take 1 - 1/(2k - 2). Among those whose
    debt has grown large enough, the one is next that would soonest be a whole turn behind.

    Example:
        >>> balance = Balance([0.5, 0.25, 0.25])
        >>> [balance.next() for _ in range(8)]
        [0, 1, 2, 0, 0, 1, 2, 0]

    Args:
        shares: of each, above 0; they need not add up to 1.
    """

    def __init__(self, shares: Sequence[float] | NDArray[np.float64]) -> None:
        given = np.asarray(shares, dtype=np.float64)
        self._shares = given / given.sum()
        self._debts = np.zeros(len(given))
        self._open = np.ones(len(given), dtype=bool)

    def next(self) -> int:
        """Whose turn it is; at least one must be left."""
        (left,) = np.nonzero(self._open)
        self._debts[left] += self._shares[left]
        if len(left) == 1:
            chosen = int(left[0])
        else:
            threshold = 1 / (2 * len(left) - 2)
            due = left[self._debts[left] >= threshold - _ROUNDING]
            if not len(due):  # only after someone has left
                due = left[[int(self._debts[left].argmax())]]
            deadlines = (1 - threshold - self._debts[due]) / self._shares[due]
            # Equal deadlines come out a last bit apart: the first of them is meant.
            chosen = int(due[np.nonzero(deadlines <= deadlines.min() + _ROUNDING)[0][0]])
        self._debts[chosen] -= 1
        return chosen

    def leave(self, who: int) -> None:
        """Who was named last has nothing to give: the others have its turns from this one on."""
        self._open[who] = False
        (left,) = np.nonzero(self._open)
        if len(left):
            self._shares[left] /= self._shares[left].sum()
            # Debts add up to nothing again, as if the turn had not been begun.
            self._debts[left] += self._shares[left] * self._debts[who]
        self._debts[who] = 0.0

    @property
    def over(self) -> bool:
        """Whether all have left."""
        return not self._open.any()
