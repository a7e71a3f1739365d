"""Clustering of texts: UMAP (arXiv 1802.03426), then HDBSCAN, as in EvoP's CCDS.

Both are used through scikit-learn's interface. So any object with that interface can replace
either, and cuML's accelerator can run both.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.calibration.embedding.encoder import Vectors

NOISE = -1
NEIGHBOURS = 15
COMPONENTS = 5
FIT_LIMIT = 50_000
_FEWEST_POINTS = 20
_ASSIGNED_AT_ONCE = 256
_COVERED = 0.8  # share of a cluster that its parts must hold; random parts hold less


@dataclass(frozen=True, eq=False)
class Clustering:
    """A partition of texts.

    Attributes:
        labels: (texts,) cluster of each, from 0, the largest first; -1 is noise.
        coordinates: (texts, dimensions) points that were clustered, for drawing.
        parameters: plain JSON: the algorithms and the parameters that were used.
        notes: deviations from the request and their reasons, a line each.
    """

    labels: NDArray[np.int64]
    coordinates: Vectors
    parameters: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of clusters, without noise."""
        return int(self.labels.max(initial=NOISE)) + 1


def default_min_cluster_size(points: int) -> int:
    """Return the default smallest cluster: the square root of half the points, at least 5.

    A larger corpus has more kinds of documents, and more documents of each kind.

    Example:
        >>> default_min_cluster_size(40), default_min_cluster_size(3236)
        (5, 40)
    """
    return max(5, round(math.sqrt(points / 2)))


def cluster(
    vectors: Vectors,
    *,
    rng: np.random.Generator,
    reducer: Any = "umap",
    clusterer: Any = None,
    min_cluster_size: int | None = None,
    fit_limit: int = FIT_LIMIT,
) -> Clustering:
    """Find clusters among embeddings.

    Texts with the same embedding are one point. If there are fewer than 20 points, or all points
    are noise, all texts are one cluster, and a sample from it is uniform. HDBSCAN may put nearly
    all points into one cluster. A cluster of more than two thirds of the points is replaced by
    its parts if these hold four fifths of it. Of more than `fit_limit` points, that many are
    drawn at random and clustered; every other point gets the label of the nearest one.

    Args:
        vectors: (texts, dimensions) of length 1, at least one.
        rng: draws the points to fit and seeds the reducer; the same state gives the same
            clusters on the same machine.
        reducer: "umap", "pca", "none", or an object with `fit_transform`.
        clusterer: an object with `fit_predict`; by default HDBSCAN.
        min_cluster_size: parameter of HDBSCAN; by default it depends on the number of points.
        fit_limit: largest number of points to fit.

    Raises:
        InputError: there is no such reducer, or a given object does not return one point or
            label for each text.
    """
    if isinstance(reducer, str) and reducer not in ("umap", "pca", "none"):
        raise InputError(f"`reducer` must be umap, pca or none, but got '{reducer}'")
    points, members = np.unique(vectors, axis=0, return_inverse=True)
    members = members.reshape(-1)
    if len(points) < _FEWEST_POINTS:
        note = f"{len(points)} different embeddings are too few for clusters: all texts are one"
        return Clustering(np.zeros(len(vectors), np.int64), _flat(vectors), {}, (note,))
    size = min_cluster_size or default_min_cluster_size(min(len(points), fit_limit))
    seed = int(rng.integers(2**31))
    fitted = np.sort(rng.permutation(len(points))[:fit_limit])
    notes = []
    if len(fitted) < len(points):
        notes.append(f"clusters were found among {len(fitted)} of {len(points)} embeddings")
    with _alone():
        reduced, reducing = _reduced(points[fitted], reducer, seed)
        found, clustering = _labels(reduced, clusterer, size)
    labels = _by_size(found)
    coordinates = reduced
    if len(fitted) < len(points):
        nearest = _nearest(points, points[fitted])
        labels, coordinates = labels[nearest], reduced[nearest]
    labels, coordinates = _by_size(labels[members]), coordinates[members]
    if labels.max() == NOISE:
        notes.append("no cluster stands out: all texts are one")
        labels = np.zeros_like(labels)
    parameters = {"reducer": reducing, "clusterer": clustering, "points": len(points)}
    return Clustering(labels, coordinates, parameters, tuple(notes))


def _reduced(points: Vectors, reducer: Any, seed: int) -> tuple[Vectors, dict[str, Any]]:
    """Return the points in few dimensions, and the parameters of the reduction."""
    count, dimensions = points.shape
    if not isinstance(reducer, str):
        reduced = np.asarray(reducer.fit_transform(points), dtype=np.float32)
        if reduced.ndim != 2 or len(reduced) != count or not np.isfinite(reduced).all():
            raise InputError(
                f"`reducer` {type(reducer).__name__} must give finite coordinates for each of "
                f"{count} points, but gave an array of shape {reduced.shape}"
            )
        return reduced, {"name": type(reducer).__name__}
    components = min(COMPONENTS, dimensions)
    if reducer == "umap":
        from umap import UMAP

        options: dict[str, Any] = {
            "metric": "cosine",
            "n_neighbors": min(NEIGHBOURS, count - 1),
            "n_components": components,
            "min_dist": 0.0,
            "random_state": seed,
        }
        # More threads would make the result irreproducible.
        umap = UMAP(**options, n_jobs=1)
        return np.asarray(umap.fit_transform(points), np.float32), {"name": "umap", **options}
    if reducer == "pca":
        from sklearn.decomposition import PCA

        pca = PCA(components, random_state=seed)
        options = {"n_components": components, "random_state": seed}
        return np.asarray(pca.fit_transform(points), np.float32), {"name": "pca", **options}
    # On unit vectors, Euclidean and cosine distances have the same order.
    return points, {"name": "none"}


def _labels(
    reduced: Vectors, clusterer: Any, min_cluster_size: int
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return a label for each point, and the parameters of the clusterer."""
    about: dict[str, Any]
    if clusterer is None:
        from hdbscan import HDBSCAN

        # `min_samples` is well below the cluster size; else too many points would be noise.
        options = {
            "min_cluster_size": min(min_cluster_size, len(reduced)),
            "min_samples": min(max(1, min_cluster_size // 5), 10),
        }
        points, most = reduced.astype(np.float64), 2 * len(reduced) // 3
        labels = np.asarray(HDBSCAN(**options, core_dist_n_jobs=1).fit_predict(points))
        bulk = _larger_than(most, labels)
        if bulk.any():
            split = HDBSCAN(**options, max_cluster_size=most, core_dist_n_jobs=1)
            parts = np.asarray(split.fit_predict(points))
            if (parts[bulk] >= 0).mean() > _COVERED:
                labels, options = parts, {**options, "max_cluster_size": most}
        about = {"name": "hdbscan", **options}
    else:
        about = {"name": type(clusterer).__name__}
        labels = np.asarray(clusterer.fit_predict(reduced.astype(np.float64)))
    if labels.shape != (len(reduced),) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"`clusterer` {about['name']} must give a whole number for each of {len(reduced)} "
            f"points, but gave an array of {labels.dtype} and shape {labels.shape}"
        )
    return labels.astype(np.int64), about


def _larger_than(most: int, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which points are in a cluster of more than `most` points."""
    names, sizes = np.unique(labels[labels >= 0], return_counts=True)
    return np.isin(labels, names[sizes > most])


def _by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Renumber the labels, the largest cluster first; labels below 0 are noise."""
    names, where, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda i: (names[i] < 0, -sizes[i], names[i]))
    renamed = np.empty(len(names), dtype=np.int64)
    for rank, index in enumerate(order):
        renamed[index] = NOISE if names[index] < 0 else rank
    return renamed[where.reshape(-1)]


def _nearest(points: Vectors, fitted: Vectors) -> NDArray[np.int64]:
    """Return for each point the index of the fitted point with the largest cosine."""
    nearest = np.empty(len(points), dtype=np.int64)
    for first in range(0, len(points), _ASSIGNED_AT_ONCE):
        some = slice(first, first + _ASSIGNED_AT_ONCE)
        nearest[some] = (points[some] @ fitted.T).argmax(axis=1)
    return nearest


def _flat(vectors: Vectors) -> Vectors:
    """Return the first two dimensions, for drawing without a reducer."""
    return np.pad(vectors, ((0, 0), (0, max(0, 2 - vectors.shape[1]))))[:, :2]


@contextmanager
def _alone() -> Iterator[None]:
    """Silence the libraries' warnings about small or unusual corpora, and undo their settings.

    UMAP compiles with numba, which sets the number of threads of all that use OpenMP. Losses of a
    search would then differ in their last bits by whether its text was drawn by clusters.
    """
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(limits=None):
        warnings.simplefilter("ignore")
        yield
