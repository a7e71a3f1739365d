"""A kernel between patterns, seen as the sets of units that they drop.

A pattern S has the feature vector φ(S) = Σ φ_i over its dropped units i. ⟨φ_i, φ_j⟩ is the
similarity of the units i and j: it decreases with their distance in depth, and is smaller for
units of different kinds. The covariance of two patterns is a polynomial in ⟨φ(S), φ(T)⟩. Its first
power models the effects of single drops, the second interactions of pairs, the third interactions
of triples (an additive kernel after Duvenaud, Nickisch and Rasmussen 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import Unit

Drops = NDArray[np.float64]
"""(patterns, units), 1 = dropped."""


def as_drops(patterns: Sequence[Sequence[int]]) -> Drops:
    """Convert patterns, 1 = keep, to rows with 1 = dropped."""
    return 1.0 - np.array(patterns, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Layout:
    """Distances and kinds of the units.

    Attributes:
        distance: (units, units) distance in blocks.
        akin: (units, units) whether two units are of the same kind.
    """

    distance: NDArray[np.float64]
    akin: NDArray[np.bool_]

    @classmethod
    def of(cls, units: Sequence[Unit]) -> Layout:
        """Return the layout of these units."""
        numbered = all(unit.block.isdecimal() for unit in units)
        depths = [int(unit.block) for unit in units] if numbered else range(len(units))
        depth, kind = np.array(depths, dtype=np.float64), np.array([unit.kind for unit in units])
        return cls(np.abs(depth[:, None] - depth), kind[:, None] == kind)


@dataclass(frozen=True)
class Shape:
    """The free parameters of the kernel and of its noise, for values of unit variance.

    Attributes:
        variances: of the first, second, … power.
        smooth: share of a unit's effect that is shared with its neighbours, 0 to 1.
        reach: distance in blocks over which the shared part falls to 1/e.
        kin: similarity of units of different kinds, relative to units of the same kind, 0 to 1.
        noise: variance that the kernel does not explain.
    """

    variances: tuple[float, ...]
    smooth: float = 0.7
    reach: float = 3.0
    kin: float = 0.5
    noise: float = 0.02


@dataclass(frozen=True, eq=False)
class SetKernel:
    """The kernel between sets of dropped units.

    Attributes:
        layout: distances and kinds of the units.
        shape: the kernel's parameters.
        size: number of drops of a typical pattern; normalises ⟨φ(S), φ(S)⟩ to about 1.

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
        """(units, units) similarities ⟨φ_i, φ_j⟩; 1 on the diagonal."""
        shared = self.shape.smooth * np.exp(-self.layout.distance / self.shape.reach)
        shared = shared * np.where(self.layout.akin, 1.0, self.shape.kin)
        own = (1.0 - self.shape.smooth) * np.eye(len(shared))
        alike: NDArray[np.float64] = shared + own
        return alike

    def inner(self, left: Drops, right: Drops) -> NDArray[np.float64]:
        """(left, right) ⟨φ(S), φ(T)⟩ / `size`, about 1 for a typical pattern with itself."""
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
