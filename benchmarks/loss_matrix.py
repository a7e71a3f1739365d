"""The losses of many patterns on every window of a pool, found once and kept in the cache."""

from __future__ import annotations

import argparse
import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clusters import domains_of, encoder_named
from benchmarks.landscape import judged
from benchmarks.replay import Pool
from evop_deap.calibration import Document, load_corpus
from evop_deap.calibration.clustering import cluster
from evop_deap.calibration.embedding import embed
from evop_deap.calibration.strata import Stratum, draw_windows
from evop_deap.config import SearchConfig
from evop_deap.evolution import evolve
from evop_deap.evolution_state import EvolutionSettings
from evop_deap.fitness.cache import CachedEvaluator
from evop_deap.fitness.population import PopulationEvaluator
from evop_deap.heuristics.block_influence import block_influence, least_influential
from evop_deap.operators import init_uniform
from evop_deap.run.progress import TerminalProgress
from evop_deap.run.subject import Subject, prepare
from evop_deap.space import Pattern, SearchSpace, units_to_drop
from evop_deap.stopping import Stopping
from evop_deap.toolbox import make_toolbox
from evop_deap.userdirs import cache_folder

SEARCHED_WINDOWS = 8
INFLUENCE_WINDOWS = 8


@dataclass(frozen=True, eq=False)
class Judged:
    """The patterns of a pool: their sparsities, and which of them are probes."""

    patterns: list[Pattern]
    groups: list[int]
    probes: list[int]


def patterns_of(subject: Subject, tokens: NDArray[np.int64], given: argparse.Namespace) -> Judged:
    """Random patterns, a rule's, and the survivors of a short search, at each sparsity.

    The probes of a sparsity are its rule's pattern and as many random ones as are asked for.
    """
    units = subject.space.units
    rng = random.Random(given.seed)
    model, anatomy = subject.loaded.model, subject.anatomy
    influences = block_influence(model, anatomy, tokens[:INFLUENCE_WINDOWS])
    few = PopulationEvaluator(model, anatomy, tokens[:SEARCHED_WINDOWS])
    patterns: dict[Pattern, tuple[int, bool]] = {}
    for sparsity in given.sparsities:
        space = SearchSpace(units, units_to_drop(len(units), sparsity))
        patterns[least_influential(influences, space)] = (space.n_drop, True)
        own = [init_uniform(space, rng=rng).pattern for _ in range(given.random)]
        for number, pattern in enumerate(own):
            patterns.setdefault(pattern, (space.n_drop, number < given.probes - 1))
        toolbox = make_toolbox(space, CachedEvaluator(few), rng)
        state = evolve(
            toolbox,
            rng,
            settings=EvolutionSettings(population=given.near, offspring=2 * given.near),
            stopping=Stopping(generations=given.generations),
        )
        for genome in state.population:
            patterns.setdefault(genome.pattern, (space.n_drop, False))
    listed = list(patterns)
    return Judged(
        listed,
        [patterns[p][0] for p in listed],
        [i for i, p in enumerate(listed) if patterns[p][1]],
    )


def pool_of(given: argparse.Namespace, window: int) -> tuple[Pool, list[str], dict[str, Any]]:
    """Every window of the pool, judged by every pattern, and what else is known of it."""
    config = SearchConfig(
        model=given.model,
        corpus=given.corpus,
        sparsity=given.sparsities[0],
        window=window,
        tokens=given.pool_tokens,
        heldout_tokens=window,
        dtype=given.dtype,
        seed=given.seed,
    )
    truth = domains_of(given.corpus)
    names = sorted(set(truth.values()))
    subject = prepare(config.replace(tokens=window), TerminalProgress())
    documents = load_corpus(given.corpus).documents
    tokens, labels = _windows(documents, truth, names, subject, window, given)
    judges = patterns_of(subject, tokens, given)
    changed = _with_windows(subject, tokens)
    sums = np.concatenate(list(judged(changed, judges.patterns, config.model)))
    losses = sums / (window - 1)
    texts = subject.loaded.tokenizer.batch_decode(tokens.tolist(), skip_special_tokens=True)
    vectors = embed(texts, encoder_named(given.embedding), folder=cache_folder() / "embeddings")
    rng = np.random.default_rng(given.seed)
    found = cluster(vectors, rng=rng, min_cluster_size=given.min_cluster_size)
    apart = np.array([i not in judges.probes for i in range(len(judges.patterns))])
    pool = Pool(
        losses=losses[apart],
        groups=np.array(judges.groups)[apart],
        probes=losses[~apart],
        domains=labels,
        clusters=found.labels,
        centroids=_k_means(vectors, len(names), given.seed),
        vectors=vectors,
    )
    inside = labels >= 0
    about = {
        "window": window,
        "windows": int(inside.sum()),
        "other_windows": int((~inside).sum()),
        "windows_of_domains": {
            name: int((labels == number).sum()) for number, name in enumerate(names)
        },
        "patterns": int(apart.sum()),
        "probes": int((~apart).sum()),
        "clusters": found.count,
        "noise": float((found.labels < 0).mean()),
    }
    return pool, names, about


def _windows(
    documents: Sequence[Document],
    truth: dict[str, str],
    names: list[str],
    subject: Subject,
    window: int,
    given: argparse.Namespace,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token windows of one domain each, in the corpus's order, then those of other text."""
    by_domain = {
        number: tuple(d for d in documents if truth[d.id] == name)
        for number, name in enumerate(names)
    }
    strata = [
        Stratum(number, some, share=float(sum(len(d.text) for d in some)), size=1.0)
        for number, some in by_domain.items()
    ]
    drawn = draw_windows(
        strata,
        subject.loaded.tokenizer,
        window=window,
        tokens=given.pool_tokens,
        rng_of=lambda label: np.random.default_rng([given.seed, label]),
        least=window,
    )
    places = {document.id: place for place, document in enumerate(documents)}
    firsts = [places[stretches[0].document] for stretches in drawn.windows.stretches]
    drawn = drawn.take(np.argsort(firsts, kind="stable").tolist())
    if not given.other:
        return drawn.windows.tokens, drawn.labels
    other = draw_windows(
        [Stratum(-1, load_corpus(given.other).documents, share=1.0, size=1.0)],
        subject.loaded.tokenizer,
        window=window,
        tokens=max(given.budgets),
        rng_of=lambda label: np.random.default_rng([given.seed]),
        least=window,
    )
    tokens = np.concatenate([drawn.windows.tokens, other.windows.tokens])
    return tokens, np.concatenate([drawn.labels, other.labels])


def _with_windows(subject: Subject, tokens: NDArray[np.int64]) -> Subject:
    windows = dataclasses.replace(subject.text.calibration, tokens=tokens)
    return dataclasses.replace(subject, text=dataclasses.replace(subject.text, calibration=windows))


def _k_means(vectors: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    from sklearn.cluster import KMeans

    kinds = KMeans(min(count, len(vectors)), n_init=4, random_state=seed)
    return np.asarray(kinds.fit_predict(vectors), dtype=np.int64)
