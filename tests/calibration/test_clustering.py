"""Clusters of embeddings: found where there are some, and stated rules where there are none."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.calibration.clustering import NOISE, cluster, default_min_cluster_size


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def blobs(sizes: list[int], seed: int = 0, width: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """Points about random directions in 16 dimensions, and which each is about."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(len(sizes), 16)))
    truth = np.repeat(np.arange(len(sizes)), sizes)
    moved = centres[truth] + rng.normal(scale=width / 4, size=(len(truth), 16))
    order = rng.permutation(len(truth))
    return unit(moved)[order], truth[order]


def found(vectors: np.ndarray, seed: int = 0, **options):
    return cluster(vectors, rng=np.random.default_rng(seed), **{"reducer": "none", **options})


def agree(labels: np.ndarray, truth: np.ndarray) -> bool:
    inside = labels >= 0
    pairs = set(zip(labels[inside].tolist(), truth[inside].tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.slow
def test_torch_keeps_its_number_of_threads() -> None:
    threads, other = torch.get_num_threads(), (os.cpu_count() or 1) + 1
    torch.set_num_threads(other)
    try:
        cluster(blobs([40, 40])[0], rng=np.random.default_rng(0), reducer="umap")
        assert torch.get_num_threads() == other
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("reducer", ["none", "pca"])
def test_blobs_are_found_and_numbered_by_size(reducer: str) -> None:
    vectors, truth = blobs([60, 120, 30])
    clusters = found(vectors, reducer=reducer)
    assert clusters.count == 3
    assert agree(clusters.labels, truth)
    assert NOISE not in clusters.labels
    assert np.bincount(clusters.labels).tolist() == [120, 60, 30]
    assert clusters.parameters["reducer"]["name"] == reducer
    assert clusters.parameters["clusterer"]["name"] == "hdbscan"


class As:
    """A reducer that has its coordinates ready, in the order of the sorted points."""

    def __init__(self, coordinates: np.ndarray) -> None:
        self.coordinates = coordinates

    def fit_transform(self, points: np.ndarray) -> np.ndarray:
        return self.coordinates


def laid_out(coordinates: np.ndarray):
    """The clusters of texts that a reducer lays out like this."""
    turns = np.linspace(0, np.pi / 2, len(coordinates))  # unit vectors in ascending order
    vectors = np.stack([np.sin(turns), np.cos(turns)], axis=1).astype(np.float32)
    return found(vectors, reducer=As(coordinates))


def test_a_cluster_of_nearly_everything_gives_way_to_its_parts() -> None:
    rng = np.random.default_rng(1)
    # Five kinds side by side and two far off, from where the five look like one.
    kinds = [(2.0 * i, 0.0) for i in range(5)] + [(0.0, 400.0), (0.0, 800.0)]
    truth = np.repeat(np.arange(7), [60] * 5 + [30] * 2)
    clusters = laid_out(rng.normal(np.array(kinds)[truth], 0.5))
    assert clusters.parameters["clusterer"]["max_cluster_size"] == 240
    near, far = (clusters.labels[some] for some in (truth < 5, truth >= 5))
    assert len(set(near[near >= 0].tolist())) == 5
    assert np.bincount(near[near >= 0]).max() <= 240
    assert agree(far, truth[truth >= 5])
    assert not set(far.tolist()) & set(near.tolist())


def test_a_large_cluster_without_parts_stays_whole() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], [200, 40])
    clusters = laid_out(rng.normal(np.array([(0.0, 0.0), (50.0, 0.0)])[truth], 0.5))
    assert agree(clusters.labels, truth)
    assert np.bincount(clusters.labels).tolist() == [200, 40]
    assert "max_cluster_size" not in clusters.parameters["clusterer"]


def test_umap_finds_blobs_the_same_way_for_the_same_seed() -> None:
    vectors, truth = blobs([60, 120, 30])
    first, second = found(vectors, reducer="umap"), found(vectors, reducer="umap")
    assert agree(first.labels, truth)
    assert first.count == 3
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.coordinates, second.coordinates)
    assert first.coordinates.shape == (210, 5)
    assert first.parameters["reducer"]["metric"] == "cosine"


@pytest.mark.slow
@pytest.mark.parametrize("count", [20, 21, 25, 40])
def test_umap_takes_corpora_that_are_hardly_large_enough(count: int) -> None:
    rng = np.random.default_rng(count)
    clusters = found(unit(rng.normal(size=(count, 8))), reducer="umap")
    assert len(clusters.labels) == count
    assert np.isfinite(clusters.coordinates).all()


@settings(max_examples=60)
@given(st.integers(1, 60), st.integers(1, 30), st.integers(1, 6), st.integers(0, 99))
def test_any_small_or_repetitive_corpus_gets_a_label_for_each_text(
    count, different, dimensions, seed
) -> None:
    rng = np.random.default_rng(seed)
    some = unit(rng.normal(size=(different, dimensions)))
    vectors = some[rng.integers(different, size=count)]
    clusters = found(vectors, seed=seed, reducer="pca")
    assert clusters.labels.shape == (count,)
    assert len(clusters.coordinates) == count
    # Every number up to the largest is the label of some text, and one text at least has one.
    assert set(clusters.labels.tolist()) - {NOISE} == set(range(clusters.count)) != set()
    for vector in np.unique(vectors, axis=0):
        assert len(set(clusters.labels[(vectors == vector).all(axis=1)].tolist())) == 1


def test_texts_with_the_same_embedding_are_in_the_same_cluster() -> None:
    vectors, _ = blobs([40, 40])
    twice = np.concatenate([vectors, vectors[::-1]])
    clusters = found(twice)
    assert np.array_equal(clusters.labels[:80], clusters.labels[80:][::-1])


@pytest.mark.parametrize("count", [1, 2, 19])
def test_too_few_texts_are_one_cluster(count: int) -> None:
    clusters = found(blobs([count])[0], reducer="umap")
    assert clusters.labels.tolist() == [0] * count
    assert "too few for clusters" in clusters.notes[0]


def test_where_all_is_noise_all_is_one_cluster() -> None:
    class Nothing:
        def fit_predict(self, points):
            return np.full(len(points), -1)

    clusters = found(blobs([50])[0], clusterer=Nothing())
    assert clusters.labels.tolist() == [0] * 50
    assert clusters.notes == ("no cluster stands out: all texts are one",)


def test_uniform_texts_end_in_labels_and_not_in_an_error() -> None:
    rng = np.random.default_rng(0)
    clusters = found(unit(rng.normal(size=(200, 16))))
    assert clusters.labels.shape == (200,)
    sizes = np.bincount(clusters.labels[clusters.labels != NOISE])
    assert len(sizes) == clusters.count > 0
    assert sizes.min() >= default_min_cluster_size(200)


def test_beyond_the_limit_the_rest_goes_to_the_nearest() -> None:
    vectors, truth = blobs([150, 100, 50])
    clusters = found(vectors, fit_limit=90)
    assert agree(clusters.labels, truth)
    assert clusters.count == 3
    assert clusters.notes == ("clusters were found among 90 of 300 embeddings",)
    assert clusters.coordinates.shape[0] == 300
    again = found(vectors, fit_limit=90)
    assert np.array_equal(again.labels, clusters.labels)


def test_anything_like_scikit_learn_can_stand_in() -> None:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD

    vectors, truth = blobs([60, 60])
    clusters = found(
        vectors, reducer=TruncatedSVD(3), clusterer=KMeans(2, n_init=3, random_state=0)
    )
    assert agree(clusters.labels, truth)
    assert clusters.parameters["reducer"] == {"name": "TruncatedSVD"}
    assert clusters.parameters["clusterer"] == {"name": "KMeans"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reducer": "tsne"}, "`reducer` must be umap, pca or none, but got 'tsne'"),
        ({"clusterer": "labels"}, "`clusterer` Fake must give a whole number for each of 50"),
        ({"reducer": "points"}, "`reducer` Fake must give finite coordinates for each of 50"),
    ],
)
def test_what_gives_nothing_of_use_is_refused(options: dict[str, str], says: str) -> None:
    class Fake:
        def fit_predict(self, points):
            return np.zeros(3)

        def fit_transform(self, points):
            return np.full((len(points), 2), np.nan)

    given = {
        name: Fake() if value in ("labels", "points") else value for name, value in options.items()
    }
    with pytest.raises(InputError, match=says):
        found(blobs([50])[0], **given)


def test_the_smallest_cluster_grows_more_slowly_than_the_corpus() -> None:
    sizes = [default_min_cluster_size(count) for count in (20, 100, 3_000, 50_000)]
    assert sizes == [5, 7, 39, 158]
