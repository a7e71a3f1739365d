"""Where the documents lie on a map of two dimensions, and which of them are heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evop_deap.calibration.embedding.encoder import Vectors

if TYPE_CHECKING:
    from evop_deap.calibration.ccds import Stratification
    from evop_deap.calibration.strata import StratifiedWindows

_MOST_POINTS = 4_000
_SIDE = 1000  # a manifest's map is so many steps wide and high


@dataclass(frozen=True, eq=False)
class Places:
    """The documents on a map: near is alike, far says little.

    Attributes:
        at: (points, 2) in a square of side 1, y upwards.
        labels: (points,) cluster of each; -1 is noise.
        heard: (points,) whether a window holds some of the document.
        documents: (points,) which document of those clustered each is.

    Example:
        >>> one = np.array([0])
        >>> Places(np.array([[0.25, 1.0]]), one, one == 0, one).as_dict()
        {'side': 1000, 'x': '250', 'y': '1000', 'cluster': '0', 'heard': '1'}
    """

    at: NDArray[np.float64]
    labels: NDArray[np.int64]
    heard: NDArray[np.bool_]
    documents: NDArray[np.int64]

    def as_dict(self) -> dict[str, int | str]:
        """Plain JSON values; a number a point, parted by spaces, keeps a manifest short."""
        x, y = np.rint(self.at.T * _SIDE).astype(np.int64)
        columns = {"x": x, "y": y, "cluster": self.labels, "heard": self.heard.astype(np.int64)}
        return {
            "side": _SIDE,
            **{name: " ".join(map(str, column.tolist())) for name, column in columns.items()},
        }


def places_of(found: Stratification, drawn: StratifiedWindows) -> Places:
    """Lay the documents out where the clusters were found, in two dimensions.

    Of more than 4,000 documents every so many are shown, and all those that are heard.
    """
    stretches = (stretch for window in drawn.windows.stretches for stretch in window)
    names = {stretch.document for stretch in stretches}
    heard = np.array([document.id in names for document in found.documents])
    shown = heard.copy()
    shown[:: max(1, -(-len(shown) // _MOST_POINTS))] = True
    (indices,) = np.nonzero(shown)
    at = _two_dimensions(found.coordinates)[indices]
    return Places(at, found.labels[indices], heard[indices], indices)


def _two_dimensions(coordinates: Vectors) -> NDArray[np.float64]:
    """The two principal components in a square of side 1, half by value and half by rank.

    By value alone, one cluster far away would squeeze all others into a corner.
    """
    centred = coordinates.astype(np.float64) - coordinates.mean(axis=0, dtype=np.float64)
    if centred.shape[1] == 1:
        centred = np.pad(centred, ((0, 0), (0, 1)))
    _, axes = np.linalg.eigh(centred.T @ centred)  # ascending
    flat = centred @ axes[:, [-1, -2]]
    # An axis has no direction of its own: the farthest point is to lie on its right.
    flat *= np.where(flat[np.abs(flat).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    spans = np.ptp(flat, axis=0)
    values = (flat - flat.min(axis=0)) / np.where(spans > 0, spans, 1.0)
    ranks = flat.argsort(axis=0, kind="stable").argsort(axis=0) / max(1, len(flat) - 1)
    square: NDArray[np.float64] = (values + ranks) / 2
    return square
