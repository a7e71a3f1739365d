"""Agreement of clusters with the true domains, and the time and memory of clustering."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.domains import domains_of
from benchmarks.common.peak_memory import forget_peak_memory, peak_memory
from benchmarks.common.record import markdown_table
from evop_deap.base.errors import InputError
from evop_deap.base.user_folders import cache_folder
from evop_deap.calibration import CalibrationSet, ClusterSampler, build_calibration, load_corpus
from evop_deap.calibration.clustering import Clustering, cluster
from evop_deap.calibration.embedding import TfidfEncoder, embed, load_sentence_encoder
from evop_deap.models.loading.load_model import load_tokenizer

PERTURBED_BY = 0.3  # length of the perturbation of a repeated unit vector


def encoder_named(name: str) -> Any:
    """The encoder that `--embedding` names."""
    return TfidfEncoder() if name == "tfidf" else load_sentence_encoder(name)


def measure_clusters(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the agreement of clusters and domains, and the time and memory of clustering."""
    truth = domains_of(given.corpus)
    corpus = load_corpus(given.corpus)
    encoder = encoder_named(given.embedding)
    began = time.perf_counter()
    texts = [document.text for document in corpus.documents]
    vectors = embed(texts, encoder, folder=cache_folder() / "embeddings")
    embedding_seconds = time.perf_counter() - began
    domains = np.unique([truth[d.id] for d in corpus.documents], return_inverse=True)[1]
    if given.repeat_to:
        vectors, domains = perturbed(vectors, domains, given.repeat_to, given.seed)
    _compile(given.reducer)
    before = forget_peak_memory()
    began = time.perf_counter()
    found = cluster(
        vectors,
        rng=np.random.default_rng(given.seed),
        reducer=given.reducer,
        min_cluster_size=given.min_cluster_size,
    )
    report: dict[str, Any] = {
        **agreement(found, domains),
        "documents": len(vectors),
        "seconds": time.perf_counter() - began,
        "peak_memory_mib": peak_memory() / 2**20,
        "extra_memory_mib": (peak_memory() - before) / 2**20,
        "embedding_seconds": embedding_seconds,
        "sizes": np.bincount(found.labels[found.labels >= 0]).tolist(),
        "parameters": found.parameters,
        "notes": list(found.notes),
    }
    if not given.repeat_to:
        made = _drawn(given, encoder)
        report |= domains_drawn(made, truth)
    return report


def agreement(found: Clustering, domains: NDArray[np.int64]) -> dict[str, Any]:
    """Homogeneity and normalised mutual information of the clustered documents, and the noise."""
    from sklearn.metrics import homogeneity_score, normalized_mutual_info_score

    inside = found.labels >= 0
    return {
        "homogeneity": float(homogeneity_score(domains[inside], found.labels[inside])),
        "nmi": float(normalized_mutual_info_score(domains[inside], found.labels[inside])),
        "noise": float((~inside).mean()),
        "clusters": found.count,
    }


def perturbed(
    vectors: NDArray[np.float32], domains: NDArray[np.int64], count: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return `count` vectors: the given ones, and slightly perturbed copies of them."""
    if count <= len(vectors):
        raise InputError(f"`repeat_to` must be above the {len(vectors)} documents, got {count}")
    rng = np.random.default_rng(seed)
    more = np.arange(len(vectors), count) % len(vectors)
    moves = rng.normal(size=(len(more), vectors.shape[1])).astype(np.float32)
    moves *= PERTURBED_BY / np.linalg.norm(moves, axis=1, keepdims=True)
    copies = vectors[more] + moves
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    return np.concatenate([vectors, copies]), np.concatenate([domains, domains[more]])


def _compile(reducer: str) -> None:
    """Make numba compile on a few points, so that compilation is not measured."""
    rng = np.random.default_rng(0)
    cluster(rng.normal(size=(200, 8)).astype(np.float32), rng=rng, reducer=reducer)


def _drawn(given: argparse.Namespace, encoder: Any) -> CalibrationSet:
    tokenizer, context = load_tokenizer(given.model)
    return build_calibration(
        load_corpus(given.corpus),
        tokenizer,
        window=given.window,
        tokens=given.tokens,
        heldout_tokens=given.window,
        seed=given.seed,
        context=context,
        stratify=ClusterSampler(
            encoder=encoder,
            reducer=given.reducer,
            min_cluster_size=given.min_cluster_size,
            folder=cache_folder() / "embeddings",
        ),
    )


def domains_drawn(made: CalibrationSet, truth: dict[str, str]) -> dict[str, Any]:
    """Count the domains in a calibration set, and in its first windows."""
    heard: list[set[str]] = []
    for stretches in made.calibration.stretches:
        before = heard[-1] if heard else set()
        heard.append(before | {truth[stretch.document] for stretch in stretches})
    window = made.calibration.tokens.shape[1]
    beginnings = [2**i for i in range(len(heard).bit_length()) if 2**i <= len(heard)]
    return {
        "domains": len(set(truth.values())),
        "domains_drawn": len(heard[-1]),
        "domains_drawn_by_tokens": {str(n * window): len(heard[n - 1]) for n in beginnings},
    }


def clusters_table(report: dict[str, Any]) -> str:
    """One row."""
    names = ["documents", "clusters", "noise", "homogeneity", "nmi", "seconds", "peak_memory_mib"]
    cells = [f"{report[n]:.3f}" if isinstance(report[n], float) else str(report[n]) for n in names]
    drawn = f"{report['domains_drawn']} of {report['domains']}" if "domains" in report else ""
    return markdown_table([*names, "domains drawn"], [[*cells, drawn]])
