"""Shares of clusters, and an order of windows in which every prefix keeps these shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError

_POWERS = {"proportional": 1.0, "sqrt": 0.5, "equal": 0.0}
_ROUNDING = 1e-9


def shares_of(sizes: Sequence[float], allocation: str) -> NDArray[np.float64]:
    """Return the share of the windows that each cluster gets.

    Args:
        sizes: amount of text in each cluster, above 0.
        allocation: "proportional" to the sizes, to their square root ("sqrt"), or "equal".

    Raises:
        InputError: there is no such allocation.

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
    """A sequence of turns in which every member's count stays within one turn of its share.

    Tijdeman's solution of the chairman assignment problem (Discrete Mathematics 32, 1980): after
    n turns, each of k members has had its share of n, up to a difference of 1 - 1/(2k - 2). Among
    the members whose debt is above a threshold, the next is the one with the earliest deadline:
    the turn at which it would be a whole turn behind.

    Example:
        >>> balance = Balance([0.5, 0.25, 0.25])
        >>> [balance.next() for _ in range(8)]
        [0, 1, 2, 0, 0, 1, 2, 0]

    Args:
        shares: share of each member, above 0; they need not add up to 1.
    """

    def __init__(self, shares: Sequence[float] | NDArray[np.float64]) -> None:
        given = np.asarray(shares, dtype=np.float64)
        self._shares = given / given.sum()
        self._debts = np.zeros(len(given))
        self._open = np.ones(len(given), dtype=bool)

    def next(self) -> int:
        """Return the index of the next member; at least one must be left."""
        (left,) = np.nonzero(self._open)
        self._debts[left] += self._shares[left]
        if len(left) == 1:
            chosen = int(left[0])
        else:
            threshold = 1 / (2 * len(left) - 2)
            due = left[self._debts[left] >= threshold - _ROUNDING]
            if not len(due):  # only after a member has left
                due = left[[int(self._debts[left].argmax())]]
            deadlines = (1 - threshold - self._debts[due]) / self._shares[due]
            # Equal deadlines may differ in the last bit: take the first of them.
            chosen = int(due[np.nonzero(deadlines <= deadlines.min() + _ROUNDING)[0][0]])
        self._debts[chosen] -= 1
        return chosen

    def leave(self, member: int) -> None:
        """Remove the member that `next` returned last; the others share its turns, this one too."""
        self._open[member] = False
        (left,) = np.nonzero(self._open)
        if len(left):
            self._shares[left] /= self._shares[left].sum()
            # Debts add up to 0 again, as before the last `next`.
            self._debts[left] += self._shares[left] * self._debts[member]
        self._debts[member] = 0.0

    @property
    def over(self) -> bool:
        """Whether all members have left."""
        return not self._open.any()
