"""Whether clusters are the corpus's kinds of text, and what choosing by them buys.

    python -m benchmarks.calibration clusters --corpus mixed.jsonl --json clusters.json
    python -m benchmarks.calibration replay --corpus mixed.jsonl --other wiki.txt --json replay.json

`clusters` compares the clusters with the column `domain`, which they never see. `replay`
judges patterns on every window of a pool once, with the population evaluator, keeping losses
in the user's cache as they are found, and then plays every sampling strategy on that matrix.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluator import forget_peak_memory, peak_memory
from benchmarks.landscape import judged
from benchmarks.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.replay import TRUTHS, Pool, replay, strategies
from evop_deap.calibration import (
    CalibrationSet,
    ClusterSampler,
    Document,
    build_calibration,
    load_corpus,
)
from evop_deap.calibration.clustering import Clustering, cluster
from evop_deap.calibration.embedding import TfidfEncoder, embed, load_sentence_encoder
from evop_deap.calibration.strata import Stratum, draw_windows
from evop_deap.config import SearchConfig
from evop_deap.errors import InputError
from evop_deap.evolution import evolve
from evop_deap.evolution_state import EvolutionSettings
from evop_deap.files import write_json
from evop_deap.fitness.cache import CachedEvaluator
from evop_deap.fitness.population import PopulationEvaluator
from evop_deap.heuristics.block_influence import block_influence, least_influential
from evop_deap.models.loading import load_tokenizer
from evop_deap.operators import init_uniform
from evop_deap.run.progress import TerminalProgress
from evop_deap.run.subject import Subject, prepare
from evop_deap.space import Pattern, SearchSpace, units_to_drop
from evop_deap.stopping import Stopping
from evop_deap.toolbox import make_toolbox
from evop_deap.userdirs import cache_folder

PERTURBED_BY = 0.3  # length of what is added to a repeated unit vector
SEARCHED_WINDOWS = 8
INFLUENCE_WINDOWS = 8


def domains_of(corpus: str) -> dict[str, str]:
    """The true domain of each document, by its id."""
    try:
        # Texts may hold other line ends than this one.
        lines = Path(corpus).read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line]
        return {row["id"]: row["domain"] for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"`corpus` {corpus} must be JSON lines with `id`, `domain` and `text`: {error!r}"
        ) from error


def encoder_named(name: str) -> Any:
    """The encoder that `--embedding` names."""
    return TfidfEncoder() if name == "tfidf" else load_sentence_encoder(name)


def measure_clusters(given: argparse.Namespace) -> dict[str, Any]:
    """How well clusters and domains agree, and what finding the clusters took."""
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
        report |= domains_heard(made, truth)
    return report


def agreement(found: Clustering, domains: NDArray[np.int64]) -> dict[str, Any]:
    """Homogeneity and normalised mutual information over what is in a cluster, and the rest."""
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
    """So many vectors: the given ones, and copies of them that were moved a little."""
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
    """Let numba compile on a few points, so that it is not measured."""
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


def domains_heard(made: CalibrationSet, truth: dict[str, str]) -> dict[str, Any]:
    """How many domains a set draws from, and how many its beginnings do."""
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


def measure_replay(given: argparse.Namespace) -> dict[str, Any]:
    """Every strategy at every budget, for each length of window."""
    pools = []
    for window in given.windows:
        pool, names, about = pool_of(given, window)
        counts = [budget // window for budget in given.budgets if budget >= window]
        rows = replay(pool, strategies(pool, names), counts, draws=given.draws, seed=given.seed)
        pools.append({**about, "rows": rows})
        print(replay_table(about, rows), flush=True)
    return {"pools": pools}


def replay_table(about: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """A row a strategy and budget."""
    lines = [
        [
            row["strategy"],
            str(row["windows"] * about["window"]),
            *(_pair(row, truth) for truth in TRUTHS),
            f"{row['worst_domain_perplexity']:.1f}",
        ]
        for row in rows
    ]
    header = ["strategy", "tokens", "Kendall, regret in mnat", "by domains", "worst domain"]
    return markdown_table(header, lines)


def _pair(row: dict[str, Any], truth: str) -> str:
    kendall, regret = (row[f"{name}_{truth}"]["mean"] for name in ("kendall", "regret"))
    return f"{kendall:.3f}, {1000 * regret:.1f}"


def clusters_table(report: dict[str, Any]) -> str:
    """One row."""
    names = ["documents", "clusters", "noise", "homogeneity", "nmi", "seconds", "peak_memory_mib"]
    cells = [f"{report[n]:.3f}" if isinstance(report[n], float) else str(report[n]) for n in names]
    drawn = f"{report['domains_drawn']} of {report['domains']}" if "domains" in report else ""
    return markdown_table([*names, "domains drawn"], [[*cells, drawn]])


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print and write."""
    given = _parser().parse_args(arguments)
    if given.command == "clusters":
        report = measure_clusters(given)
        print(clusters_table(report))
    else:
        report = measure_replay(given)
    if given.json:
        settings = {k: v for k, v in vars(given).items() if k not in ("json", "command")}
        settings["corpus"] = Path(given.corpus).name
        write_json(given.json, {**circumstances(), "settings": settings, **report})
        print(given.json, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    clusters = commands.add_parser("clusters", help="clusters against true domains")
    clusters.add_argument("--reducer", default="umap")
    clusters.add_argument("--tokens", type=int, default=16384, help="of the set that is drawn")
    clusters.add_argument("--window", type=int, default=256)
    clusters.add_argument("--repeat-to", type=int, metavar="N", help="perturbed vectors to N")
    replaying = commands.add_parser("replay", help="every strategy on one loss matrix")
    replaying.add_argument("--other", help="a corpus that nothing is judged on: wiki.train")
    replaying.add_argument("--windows", type=int, nargs="+", default=[128, 256])
    replaying.add_argument("--pool-tokens", type=int, default=131072)
    replaying.add_argument(
        "--budgets", type=int, nargs="+", default=[1024, 2048, 4096, 8192, 16384]
    )
    replaying.add_argument("--sparsities", type=float, nargs="+", default=[0.1, 0.2])
    replaying.add_argument("--random", type=int, default=20, help="patterns a sparsity")
    replaying.add_argument("--near", type=int, default=16, help="survivors of a search, likewise")
    replaying.add_argument("--generations", type=int, default=5, help="of that search")
    replaying.add_argument("--probes", type=int, default=4, help="of a sparsity; never judged")
    replaying.add_argument("--draws", type=int, default=1000)
    replaying.add_argument("--dtype", default="auto")
    for command in (clusters, replaying):
        command.add_argument("--corpus", required=True, help="JSON lines: id, domain, text")
        command.add_argument("--model", default="demo")
        command.add_argument("--embedding", default="demo")
        command.add_argument("--min-cluster-size", type=int)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--json", type=Path)
    return parser


if __name__ == "__main__":
    with errors_in_one_line():
        main()
