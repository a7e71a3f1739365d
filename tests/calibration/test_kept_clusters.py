"""Clusterings kept by content: the same clusters as anew, and without the libraries."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evop_deap.calibration.clustering import Clustering, cluster
from evop_deap.calibration.kept_clusters import kept_cluster


def vectors(seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(40, 8)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def clustered(folder: Path | None, points: np.ndarray, seed: int = 1, **options: Any) -> Clustering:
    rng = np.random.default_rng(seed)
    return kept_cluster(points, rng=rng, folder=folder, **{"reducer": "pca", **options})


def same(one: Clustering, other: Clustering) -> bool:
    left, right = dataclasses.asdict(one), dataclasses.asdict(other)
    for name in ("labels", "coordinates"):
        a, b = left.pop(name), right.pop(name)
        if (a.dtype, a.shape, a.tobytes()) != (b.dtype, b.shape, b.tobytes()):
            return False
    return left == right


@pytest.mark.parametrize("count", [40, 12])
def test_kept_clusters_are_those_found_anew_bit_for_bit(tmp_path: Path, count: int) -> None:
    points = vectors()[:count]
    anew = cluster(points, rng=np.random.default_rng(1), reducer="pca")
    cold, warm = (clustered(tmp_path, points) for _ in range(2))
    assert same(anew, cold)
    assert same(anew, warm)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "changed", [{"seed": 2}, {"reducer": "none"}, {"min_cluster_size": 4}, {"points": vectors(1)}]
)
def test_another_seed_setting_or_text_is_clustered_anew(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    clustered(tmp_path, vectors())
    options = {"points": vectors(), **changed}
    assert same(clustered(tmp_path, **options), clustered(None, **options))
    assert len(list(tmp_path.iterdir())) == 2


def test_damaged_clusters_are_found_anew(tmp_path: Path) -> None:
    anew = clustered(tmp_path, vectors())
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert same(clustered(tmp_path, vectors()), anew)
    assert path.read_bytes() == whole


def test_a_clusterer_that_is_an_object_is_always_run(tmp_path: Path) -> None:
    class Halves:
        runs = 0

        def fit_predict(self, points: np.ndarray) -> np.ndarray:
            self.runs += 1
            return (np.arange(len(points)) % 2).astype(np.int64)

    halves = Halves()
    for _ in range(2):
        clustered(tmp_path, vectors(), clusterer=halves)
    assert halves.runs == 2
    assert not list(tmp_path.iterdir())


def test_known_clusters_need_no_library_for_clustering(tmp_path: Path) -> None:
    anew = clustered(tmp_path / "clusters", vectors())
    np.save(tmp_path / "vectors.npy", vectors())
    program = (
        "import sys; from pathlib import Path; import numpy as np;"
        "from evop_deap.calibration.kept_clusters import kept_cluster;"
        "found = kept_cluster(np.load('vectors.npy'), rng=np.random.default_rng(1),"
        " reducer='pca', folder=Path('clusters'));"
        "print(found.labels.tolist());"
        "assert not {'umap', 'numba', 'hdbscan', 'sklearn', 'torch'} & set(sys.modules)"
    )
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=place,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == str(anew.labels.tolist())


@pytest.mark.slow
def test_a_second_set_of_the_same_corpus_imports_no_umap(
    tmp_path: Path, toy_checkpoint: Path, toy_encoder: Path
) -> None:
    program = (
        "import sys; from evop_deap import CalibrationConfig, run_calibration;"
        f"config = CalibrationConfig(model={str(toy_checkpoint)!r}, calibration='ccds',"
        f" embedding={str(toy_encoder)!r}, window=32, tokens=512, heldout_tokens=64);"
        "run_calibration(config, sys.argv[1]);"
        "print({'umap', 'numba', 'hdbscan'} & set(sys.modules))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / name)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in ("cold", "warm")
    ]
    assert "umap" in said[0]
    assert said[1].strip() == "set()"
    for name in ("windows.npz", "calibration.json", "clusters.html"):
        assert (tmp_path / "cold" / name).read_bytes() == (tmp_path / "warm" / name).read_bytes()
