"""Positions of the documents on a two-dimensional map, and which of them are in windows."""

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
_SIDE = 1000  # width and height of a manifest's map in steps


@dataclass(frozen=True, eq=False)
class Places:
    """The documents on a map: near points are similar, large distances mean little.

    Attributes:
        at: (points, 2) in a square of side 1, y upwards.
        labels: (points,) cluster of each; -1 is noise.
        drawn: (points,) whether a window holds a part of the document.
        documents: (points,) index of each among the clustered documents.

    Example:
        >>> one = np.array([0])
        >>> Places(np.array([[0.25, 1.0]]), one, one == 0, one).as_dict()
        {'side': 1000, 'x': '250', 'y': '1000', 'cluster': '0', 'heard': '1'}
    """

    at: NDArray[np.float64]
    labels: NDArray[np.int64]
    drawn: NDArray[np.bool_]
    documents: NDArray[np.int64]

    def as_dict(self) -> dict[str, int | str]:
        """Return plain JSON values; numbers are joined by spaces to keep the manifest short."""
        x, y = np.rint(self.at.T * _SIDE).astype(np.int64)
        columns = {"x": x, "y": y, "cluster": self.labels, "heard": self.drawn.astype(np.int64)}
        return {
            "side": _SIDE,
            **{name: " ".join(map(str, column.tolist())) for name, column in columns.items()},
        }


def places_of(found: Stratification, drawn: StratifiedWindows) -> Places:
    """Return the positions of the clustered documents in two dimensions.

    Of more than 4,000 documents, an even subset is shown and all those in windows.
    """
    stretches = (stretch for window in drawn.windows.stretches for stretch in window)
    names = {stretch.document for stretch in stretches}
    is_drawn = np.array([document.id in names for document in found.documents])
    shown = is_drawn.copy()
    shown[:: max(1, -(-len(shown) // _MOST_POINTS))] = True
    (indices,) = np.nonzero(shown)
    at = _two_dimensions(found.coordinates)[indices]
    return Places(at, found.labels[indices], is_drawn[indices], indices)


def _two_dimensions(coordinates: Vectors) -> NDArray[np.float64]:
    """Return two principal components in a square of side 1: the mean of value and rank.

    With values alone, one distant cluster would compress all others into a corner.
    """
    centred = coordinates.astype(np.float64) - coordinates.mean(axis=0, dtype=np.float64)
    if centred.shape[1] == 1:
        centred = np.pad(centred, ((0, 0), (0, 1)))
    _, axes = np.linalg.eigh(centred.T @ centred)  # ascending
    flat = centred @ axes[:, [-1, -2]]
    # The sign of an axis is arbitrary: make the value farthest from 0 positive.
    flat *= np.where(flat[np.abs(flat).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    spans = np.ptp(flat, axis=0)
    values = (flat - flat.min(axis=0)) / np.where(spans > 0, spans, 1.0)
    ranks = flat.argsort(axis=0, kind="stable").argsort(axis=0) / max(1, len(flat) - 1)
    square: NDArray[np.float64] = (values + ranks) / 2
    return square
