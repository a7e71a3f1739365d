"""The order of the documents in a cluster."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.calibration.embedding.encoder import Vectors

_MOST_SPREAD = 512  # each one costs a comparison with the whole cluster


def order_within(vectors: Vectors, how: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return an order of a cluster's documents, as indices.

    Args:
        vectors: (documents, dimensions) unit vectors.
        how: "random"; "nearest" to the centre first; or "spread", farthest-first traversal: it
            begins at the centre, and each next document is the least similar to those before it
            (512 documents, then the rest, nearest first).
        rng: draws the random order.

    Raises:
        InputError: there is no such order.
    """
    if how == "random":
        return rng.permutation(len(vectors))
    if how not in ("nearest", "spread"):
        raise InputError(f"`within` must be random, nearest or spread, but got '{how}'")
    nearest = np.argsort(-(vectors @ centre_of(vectors)), kind="stable")
    if how == "nearest":
        return nearest
    chosen = _farthest_first(vectors[nearest])
    rest = np.setdiff1d(np.arange(len(vectors)), chosen)
    order: NDArray[np.int64] = nearest[np.concatenate([chosen, rest])]
    return order


def centre_of(vectors: Vectors) -> Vectors:
    """Return the mean vector: (dimensions,)."""
    centre: Vectors = vectors.mean(axis=0)
    return centre


def _farthest_first(vectors: Vectors) -> NDArray[np.int64]:
    """Return indices of a farthest-first traversal that begins with the first vector."""
    chosen = [0]
    closeness = vectors @ vectors[0]
    for _ in range(min(len(vectors), _MOST_SPREAD) - 1):
        closeness[chosen[-1]] = np.inf
        farthest = int(closeness.argmin())
        chosen.append(farthest)
        closeness = np.maximum(closeness, vectors @ vectors[farthest])
    return np.array(chosen, dtype=np.int64)
