"""Matrices of losses: many patterns on every window of a pool, stored in a file."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import random
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.calibration.clusters import encoder_named
from benchmarks.calibration.replay import Pool
from benchmarks.common.domains import domains_of
from benchmarks.common.record import circumstances
from benchmarks.landscapes.make import stored_evaluator
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_bytes
from evop_deap.base.user_folders import cache_folder
from evop_deap.calibration import Document, load_corpus
from evop_deap.calibration.clustering import cluster
from evop_deap.calibration.embedding import embed
from evop_deap.calibration.strata import Stratum, draw_windows
from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.operators import init_uniform
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.heuristics.block_influence import block_influence, least_influential
from evop_deap.models.loading.load_model import load_tokenizer
from evop_deap.runs.listeners.progress import TerminalProgress
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.stages.prepare import prepare
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import Pattern, SearchSpace, units_to_drop

SEARCHED_WINDOWS = 8
INFLUENCE_WINDOWS = 8
STORED_TOKENS = 4096  # of text, evaluated with all patterns before their losses are stored


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The patterns of a matrix: their sparsities, and the positions of the probes."""

    patterns: list[Pattern]
    groups: list[int]
    probes: list[int]


@dataclass(frozen=True, eq=False)
class LossMatrix:
    """Summed losses of many patterns on many windows, and their origin.

    Attributes:
        sums: (patterns, windows) nats.
        patterns: (patterns, units) 1 = keep.
        groups: (patterns,) number of units dropped.
        probes: (patterns,) whether a pattern is a probe, which is never compared.
        tokens: (windows, length) token ids.
        domains: (windows,) true domain of each, from 0; -1 is text of another corpus.
        names: (domains,) names of the domains.
        model: name of the model.
        about: JSON text with versions and machine.
    """

    sums: NDArray[np.float64]
    patterns: NDArray[np.uint8]
    groups: NDArray[np.int64]
    probes: NDArray[np.bool_]
    tokens: NDArray[np.int64]
    domains: NDArray[np.int64]
    names: NDArray[np.str_]
    model: NDArray[np.str_]
    about: NDArray[np.str_]


def patterns_of(
    prepared: Prepared, tokens: NDArray[np.int64], given: argparse.Namespace
) -> Evaluated:
    """Return random patterns, a heuristic's, and survivors of a short search, at each sparsity.

    The probes of a sparsity are the heuristic's pattern and `--probes` random ones.
    """
    units = prepared.space.units
    rng = random.Random(given.seed)
    model, anatomy = prepared.loaded.model, prepared.anatomy
    influences = block_influence(model, anatomy, tokens[:INFLUENCE_WINDOWS])
    few = PopulationEvaluator(model, anatomy, tokens[:SEARCHED_WINDOWS])
    settings = EvolutionSettings(
        population=given.near, offspring=2 * given.near, surrogate="none", racing="off"
    )
    patterns: dict[Pattern, tuple[int, bool]] = {}
    for sparsity in given.sparsities:
        space = SearchSpace(units, units_to_drop(len(units), sparsity))
        patterns[least_influential(influences, space)] = (space.n_drop, True)
        own = [init_uniform(space, rng=rng).pattern for _ in range(given.random)]
        for number, pattern in enumerate(own):
            patterns.setdefault(pattern, (space.n_drop, number < given.probes - 1))
        stopping = Stopping(generations=given.generations)
        state = assemble(space, CachedEvaluator(few), rng, settings).run(stopping)
        for genome in state.population:
            patterns.setdefault(genome.pattern, (space.n_drop, False))
    listed = list(patterns)
    return Evaluated(
        listed,
        [patterns[p][0] for p in listed],
        [i for i, p in enumerate(listed) if patterns[p][1]],
    )


def matrix_of(given: argparse.Namespace) -> LossMatrix:
    """Draw the windows, choose the patterns, and evaluate each on every window."""
    config = SearchConfig(
        compensate="off",
        model=given.model,
        corpus=given.corpus,
        sparsity=given.sparsities[0],
        window=given.window,
        tokens=given.window,
        heldout_tokens=given.window,
        dtype=given.dtype,
        seed=given.seed,
    )
    truth = domains_of(given.corpus)
    names = sorted(set(truth.values()))
    prepared = prepare(config, TerminalProgress())
    documents = load_corpus(given.corpus).documents
    tokens, labels = _windows(documents, truth, names, prepared, given)
    chosen = (
        patterns_like(given.like, prepared) if given.like else patterns_of(prepared, tokens, given)
    )
    changed = _with_windows(prepared, tokens)
    sums = summed(changed, chosen.patterns, config.model)
    return LossMatrix(
        sums=sums,
        patterns=np.array(chosen.patterns, dtype=np.uint8),
        groups=np.array(chosen.groups, dtype=np.int64),
        probes=np.isin(np.arange(len(chosen.patterns)), chosen.probes),
        tokens=tokens,
        domains=labels,
        names=np.array(names),
        model=np.array(given.model),
        about=np.array(json.dumps({"dtype": str(prepared.loaded.model.dtype), **circumstances()})),
    )


def summed(prepared: Prepared, patterns: Sequence[Pattern], name: str) -> NDArray[np.float64]:
    """(patterns, windows) sums; sums of an interrupted run are reused."""
    count, length = prepared.text.calibration.tokens.shape
    step = max(1, STORED_TOKENS // length)
    parts = []
    with stored_evaluator(prepared, name) as (evaluator, release):
        for first in tqdm(range(0, count, step), file=sys.stderr, mininterval=20):
            some = range(first, min(first + step, count))
            parts.append(evaluator.evaluate(patterns, some).sums)
            release()
    return np.concatenate(parts, axis=1)


def patterns_like(path: Path, prepared: Prepared) -> Evaluated:
    """Return the patterns of the matrix at `path`, to be evaluated on other windows.

    Raises:
        InputError: the file is not a matrix, or its model has another number of blocks.
    """
    try:
        known = load_matrix(path)
    except InputError as error:
        raise InputError(str(error).replace("`losses`", "`like`", 1)) from error
    units = len(prepared.space.units)
    if known.patterns.shape[1] != units:
        raise InputError(
            f"`like` {path} has patterns of {known.patterns.shape[1]} units, the model {units}"
        )
    patterns = [tuple(row) for row in known.patterns.tolist()]
    return Evaluated(patterns, known.groups.tolist(), np.flatnonzero(known.probes).tolist())


def save_matrix(path: Path, matrix: LossMatrix) -> None:
    """Write `matrix` at `path`, atomically."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f.name: getattr(matrix, f.name) for f in dataclasses.fields(matrix)}
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def load_matrix(path: Path) -> LossMatrix:
    """Read the matrix at `path`.

    Raises:
        InputError: the file cannot be read, or is not a matrix of losses.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return LossMatrix(**{f.name: archive[f.name] for f in dataclasses.fields(LossMatrix)})
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"`losses` {path} is no matrix of losses: {error}") from error


def pool_of(
    matrix: LossMatrix, given: argparse.Namespace
) -> tuple[Pool, list[str], dict[str, Any]]:
    """Return the windows with their losses, domains, clusters and embeddings."""
    window = matrix.tokens.shape[1]
    losses = matrix.sums / (window - 1)
    names, labels, apart = matrix.names.tolist(), matrix.domains, ~matrix.probes
    tokenizer: Any = load_tokenizer(str(matrix.model))[0]
    texts = tokenizer.batch_decode(matrix.tokens.tolist(), skip_special_tokens=True)
    vectors = embed(texts, encoder_named(given.embedding), folder=cache_folder() / "embeddings")
    rng = np.random.default_rng(given.seed)
    found = cluster(vectors, rng=rng, min_cluster_size=given.min_cluster_size)
    pool = Pool(
        losses=losses[apart],
        groups=matrix.groups[apart],
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
        "losses": json.loads(str(matrix.about)),
    }
    return pool, names, about


def _windows(
    documents: Sequence[Document],
    truth: dict[str, str],
    names: list[str],
    prepared: Prepared,
    given: argparse.Namespace,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token windows of one domain each, in the corpus's order, then those of the other corpus."""
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
        prepared.loaded.tokenizer,
        window=given.window,
        tokens=given.pool_tokens,
        rng_of=lambda label: np.random.default_rng([given.seed, label]),
        least=given.window,
    )
    places = {document.id: place for place, document in enumerate(documents)}
    firsts = [places[stretches[0].document] for stretches in drawn.windows.stretches]
    drawn = drawn.take(np.argsort(firsts, kind="stable").tolist())
    if not given.other:
        return drawn.windows.tokens, drawn.labels
    other = draw_windows(
        [Stratum(-1, load_corpus(given.other).documents, share=1.0, size=1.0)],
        prepared.loaded.tokenizer,
        window=given.window,
        tokens=given.other_tokens,
        rng_of=lambda label: np.random.default_rng([given.seed]),
        least=given.window,
    )
    tokens = np.concatenate([drawn.windows.tokens, other.windows.tokens])
    return tokens, np.concatenate([drawn.labels, other.labels])


def _with_windows(prepared: Prepared, tokens: NDArray[np.int64]) -> Prepared:
    windows = dataclasses.replace(prepared.text.calibration, tokens=tokens)
    text = dataclasses.replace(prepared.text, calibration=windows)
    return dataclasses.replace(prepared, text=text)


def _k_means(vectors: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    from sklearn.cluster import KMeans

    kinds = KMeans(min(count, len(vectors)), n_init=4, random_state=seed)
    return np.asarray(kinds.fit_predict(vectors), dtype=np.int64)
