"""A covariance between patterns that are sets of what they drop.

With φ(S) = Σ φ_i over the units i that a pattern S drops, ⟨φ_i, φ_j⟩ says how alike the units
i and j are: the nearer in depth the more, an attention and an MLP half less than two of a kind.
The covariance of two patterns is a polynomial in ⟨φ(S), φ(T)⟩. Its first power stands for what
each drop does alone, the second for pairs that are worse or better together than apart, the
third for triples (an additive kernel after Duvenaud, Nickisch and Rasmussen 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import Unit

Drops = NDArray[np.float64]
"""(patterns, units), 1 = dropped: the sets as the kernel reads them."""


def as_drops(patterns: Sequence[Sequence[int]]) -> Drops:
    """The patterns, 1 = keep, as rows with 1 = dropped."""
    return 1.0 - np.array(patterns, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where units stand to each other.

    Attributes:
        distance: (units, units) blocks between two units.
        akin: (units, units) whether they are of one kind.
    """

    distance: NDArray[np.float64]
    akin: NDArray[np.bool_]

    @classmethod
    def of(cls, units: Sequence[Unit]) -> Layout:
        """From the blocks that the units are in, and their kinds."""
        numbered = all(unit.block.isdecimal() for unit in units)
        depths = [int(unit.block) for unit in units] if numbered else range(len(units))
        depth, kind = np.array(depths, dtype=np.float64), np.array([unit.kind for unit in units])
        return cls(np.abs(depth[:, None] - depth), kind[:, None] == kind)


@dataclass(frozen=True)
class Shape:
    """The free parameters of the kernel and of the noise about it, for values of unit variance.

    Attributes:
        variances: of the first, second, … power.
        smooth: share of a unit's effect that its neighbours have part in, 0 to 1.
        reach: blocks over which that part falls to 1/e.
        kin: how alike the two halves of a block are beside two of a kind, 0 to 1.
        noise: variance of what the kernel does not explain.
    """

    variances: tuple[float, ...]
    smooth: float = 0.7
    reach: float = 3.0
    kin: float = 0.5
    noise: float = 0.02


@dataclass(frozen=True, eq=False)
class SetKernel:
    """Covariances between sets of dropped units.

    Attributes:
        layout: where the units stand to each other.
        shape: the kernel's parameters.
        size: drops of a usual pattern, so that covariances are near the variances.

    Example:
        >>> units = tuple(Unit(str(i), 1, 1) for i in range(4))
        >>> kernel = SetKernel(Layout.of(units), Shape((1.0,)), size=1)
        >>> first, near, far = as_drops([(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 1, 0)])[:, None]
        >>> kernel(first, first) > kernel(first, near) > kernel(first, far)
        array([[ True]])
    """

    layout: Layout
    shape: Shape
    size: float

    @property
    def likeness(self) -> NDArray[np.float64]:
        """(units, units) how alike two units are; 1 on the diagonal."""
        shared = self.shape.smooth * np.exp(-self.layout.distance / self.shape.reach)
        shared = shared * np.where(self.layout.akin, 1.0, self.shape.kin)
        own = (1.0 - self.shape.smooth) * np.eye(len(shared))
        alike: NDArray[np.float64] = shared + own
        return alike

    def inner(self, left: Drops, right: Drops) -> NDArray[np.float64]:
        """(left, right) ⟨φ(S), φ(T)⟩, about 1 for a pattern of the usual size with itself."""
        product: NDArray[np.float64] = left @ self.likeness @ right.T / self.size
        return product

    def __call__(self, left: Drops, right: Drops) -> NDArray[np.float64]:
        """(left, right) covariances."""
        return _polynomial(self.inner(left, right), self.shape.variances)

    def variance(self, drops: Drops) -> NDArray[np.float64]:
        """(patterns,) variance of each pattern: the diagonal of `self(drops, drops)`."""
        inner = ((drops @ self.likeness) * drops).sum(axis=1) / self.size
        return _polynomial(inner, self.shape.variances)


def _polynomial(inner: NDArray[np.float64], variances: Sequence[float]) -> NDArray[np.float64]:
    """Σ variances[p - 1] · inner^p, by Horner's rule."""
    total = np.zeros_like(inner)
    for variance in reversed(variances):
        total = (total + variance) * inner
    return total
