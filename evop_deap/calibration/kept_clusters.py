"""Clusterings kept in the user's cache: no embeddings are clustered twice in the same way."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.kept_answers import KeptAnswer, KeptAnswers, code_of
from evop_deap.base.versions import version_of
from evop_deap.calibration.clustering import Clustering, cluster
from evop_deap.calibration.embedding.encoder import Vectors

_PACKAGES = ("hdbscan", "numba", "numpy", "scikit-learn", "scipy", "umap-learn")


def kept_cluster(
    vectors: Vectors,
    *,
    rng: np.random.Generator,
    reducer: Any = "umap",
    clusterer: Any = None,
    min_cluster_size: int | None = None,
    folder: Path | None = None,
) -> Clustering:
    """Return what `cluster` returns, from the cache in `folder` if it is there.

    A reducer or a clusterer that is an object has no content to know it by, and is always run.

    Args:
        vectors: (texts, dimensions) of length 1, at least one.
        rng: see `cluster`; its state afterwards may differ.
        reducer: see `cluster`.
        clusterer: see `cluster`.
        min_cluster_size: see `cluster`.
        folder: the cache; None for no cache.

    Raises:
        InputError: the reducer or the clusterer cannot be used.
    """
    named = isinstance(reducer, str) and clusterer is None
    kept = KeptAnswers(folder if named else None)
    depends_on = {
        "vectors": hashlib.sha256(np.ascontiguousarray(vectors).data).hexdigest(),
        "shape": list(vectors.shape),
        "rng": repr(rng.bit_generator.state),
        "reducer": str(reducer),
        "min_cluster_size": min_cluster_size,
        "code": code_of("calibration/clustering.py"),
        "machine": platform.machine(),
        "versions": {package: version_of(package) for package in _PACKAGES},
    }
    known = kept.recall(depends_on)
    if known is not None:
        labels, coordinates = known.arrays["labels"], known.arrays["coordinates"]
        parameters, notes = known.value
        return Clustering(labels, coordinates, parameters, tuple(notes))
    found = cluster(
        vectors,
        rng=rng,
        reducer=reducer,
        clusterer=clusterer,
        min_cluster_size=min_cluster_size,
    )
    arrays: dict[str, NDArray[Any]] = {"labels": found.labels, "coordinates": found.coordinates}
    kept.keep(depends_on, KeptAnswer([found.parameters, found.notes], arrays))
    return found
