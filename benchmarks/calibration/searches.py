r"""The effect of the choice of calibration text on a whole search, by kind of text.

    python -m benchmarks.calibration.searches --corpus mixed.jsonl --other wiki.train.txt \
        --text wiki.test.raw --output runs/calibration --json out.json

Three calibration sets are compared: documents of `--corpus` drawn uniformly, the same drawn by
clusters, and `--other`, a corpus of one kind. All sets have equally many tokens, and all searches
equal cost. Every third document of `--corpus` is held out; the patterns found are evaluated on
these, by kind, and on `--text`. The runs are kept in `--output`; finished ones are not repeated.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.count_flag import count_flag
from benchmarks.common.domains import domains_of
from benchmarks.common.kept_runs import searched
from benchmarks.common.record import (
    circumstances,
    errors_in_one_line,
    markdown_table,
    without_folders,
)
from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_text, write_json, write_text
from evop_deap.evaluation.perplexity import cut_windows
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.load_model import load_model, load_tokenizer
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.search_config import SearchConfig
from evop_deap.text.whole_texts import EvaluationText, read_text

KEPT_OUT = 3  # every third document is for evaluation


def part(corpus: str, folder: Path) -> tuple[Path, Path]:
    """Split the corpus into a file for the searches and a file for evaluation.

    Their names tell what is in them: runs are told apart by the path of their corpus.

    Raises:
        InputError: `corpus` is not a file of JSON lines with a domain each.
    """
    domains_of(corpus)
    lines = [line for line in Path(corpus).read_text(encoding="utf-8").split("\n") if line]

    def written(name: str, held_out: bool) -> Path:
        some = [line for number, line in enumerate(lines) if (number % KEPT_OUT == 0) == held_out]
        text = "".join(f"{line}\n" for line in some)
        path = folder / f"{name}.{sha256_of_text(text)[:12]}.jsonl"
        write_text(path, text)
        return path

    return written("pool", False), written("judged", True)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Search with every set and seed, and evaluate the results on every text."""
    others = {
        f"{text.name} {domain}".strip(): part_of
        for text in (read_text(str(path)) for path in given.text)
        for domain, part_of in text.parts.items()
    }
    pool, kept = part(given.corpus, given.output)
    texts = {**read_text(str(kept)).parts, **others}
    tokenizer = load_tokenizer(given.model)[0]
    # What has too few tokens is refused before anything is paid for.
    windows = {name: _windows(tokenizer, name, text, given) for name, text in texts.items()}
    config = SearchConfig(
        compensate="off",
        **{name: getattr(given, name) for name in ("model", "dtype", "sparsity", "window")},
        tokens=given.tokens,
        heldout_tokens=given.tokens,
        generations=None,
        max_cost=given.max_cost,
        cache=False,  # what a search costs is what it would cost alone
    )
    sets = {
        "random": config.replace(corpus=str(pool)),
        "ccds": config.replace(corpus=str(pool), calibration="ccds", embedding=given.embedding),
        "other": config.replace(corpus=given.other),
    }
    found = {
        (name, seed): searched(own.replace(seed=seed), RunFolder(given.output / f"{name}-{seed}"))
        for seed in given.seeds
        for name, own in sets.items()
    }
    patterns, losses = evaluate(list(found.values()), windows, given)
    return {
        "dense": losses[0],
        "texts": list(others),
        "runs": [
            {
                "set": name,
                "seed": seed,
                "dropped": list(result.dropped),
                "calibration_loss": result.calibration.loss["pruned"],
                "cost": result.cost,
                "losses": losses[patterns.index(result.dropped)],
            }
            for (name, seed), result in found.items()
        ],
    }


def evaluate(
    results: Sequence[SearchResult],
    windows: Mapping[str, NDArray[np.int64]],
    given: argparse.Namespace,
) -> tuple[list[tuple[str, ...]], list[dict[str, float]]]:
    """The dense model and each result: the dropped units, and nats per token on every text."""
    loaded = load_model(given.model, dtype=given.dtype)
    anatomy = find_anatomy(loaded.model)
    dropped = list(dict.fromkeys([(), *(result.dropped for result in results)]))
    patterns = [
        tuple(int(str(block) not in gone) for block in range(len(anatomy.blocks)))
        for gone in dropped
    ]
    losses: list[dict[str, float]] = [{} for _ in dropped]
    for name, tokens in windows.items():
        found = PopulationEvaluator(loaded.model, anatomy, tokens).evaluate(patterns)
        for row, loss in zip(losses, found.losses.tolist(), strict=True):
            row[name] = loss
        print(f"evaluated on {name}", file=sys.stderr, flush=True)
    return dropped, losses


def _windows(tokenizer: Any, name: str, text: str, given: argparse.Namespace) -> NDArray[np.int64]:
    count = given.judged_tokens // given.judged_window
    whole = EvaluationText(name, {"": text}, "")
    cut = dict(cut_windows(tokenizer, whole, window=given.judged_window, max_windows=count))
    if len(cut.get("", ())) < count or count < 1:
        raise InputError(
            f"`judged-tokens` must be at least a window and at most what {name} has, "
            f"but got {given.judged_tokens}"
        )
    return cut[""]


def table(report: Mapping[str, Any]) -> str:
    """Perplexities: the dense model, then a row for each set with geometric means over seeds."""
    names, others = list(report["dense"]), report["texts"]

    def row(label: str, runs: Sequence[Mapping[str, float]]) -> list[str]:
        mean = {name: statistics.fmean(run[name] for run in runs) for name in names}
        domains = [name for name in names if name not in others]
        middle = statistics.fmean(mean[name] for name in domains)
        worst = statistics.fmean(max(run[name] for name in domains) for run in runs)
        figures = [*mean.values(), middle, worst]
        return [label, *(f"{math.exp(figure):.1f}" for figure in figures)]

    rows = [row("none: dense", [report["dense"]])]
    for label in dict.fromkeys(run["set"] for run in report["runs"]):
        rows.append(row(label, [r["losses"] for r in report["runs"] if r["set"] == label]))
    return markdown_table(["calibrated on", *names, "mean of domains", "worst domain"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, search, evaluate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--corpus", required=True, help="JSON lines: id, domain, text")
    parser.add_argument("--other", required=True, help="a corpus of one kind: wiki.train")
    parser.add_argument(
        "--text", type=Path, nargs="*", default=[], help="other texts to evaluate on"
    )
    parser.add_argument("--judged-window", type=count_flag, default=512)
    parser.add_argument(
        "--judged-tokens", type=count_flag, default=4096, help="of each domain and text"
    )
    parser.add_argument("--embedding", default="demo", help="embedding for the clusters")
    parser.add_argument("--sparsity", type=float, default=0.2)
    parser.add_argument("--window", type=count_flag, default=128)
    parser.add_argument("--tokens", type=count_flag, default=1024)
    parser.add_argument("--max-cost", type=float, default=40.0, help="of each search")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    settings = without_folders(
        {k: v for k, v in vars(given).items() if k not in ("json", "text", "output")},
        *("corpus", "other"),
    )
    report = {**circumstances(), "settings": settings, **measure(given)}
    print(table(report))
    if given.json:
        write_json(given.json, report)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
