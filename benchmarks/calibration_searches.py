"""What the choice of calibration text does to a whole search, judged on every kind of text.

    python -m benchmarks.calibration_searches --sets random=pool.jsonl wiki=wiki.train.txt \
        'ccds=calibrations/{seed}' --judged heldout.jsonl --text wiki.test.raw --json out.json

A set is a corpus, drawn from at random, or a folder that `evop_deap.calibrate` has written.
Each is searched on with each seed, and the pattern found is judged on the held-out documents
of every domain, and on other texts.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clusters import domains_of
from benchmarks.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.search_curves import first_windows
from evop_deap.calibration import load_corpus
from evop_deap.config import SearchConfig
from evop_deap.files import write_json
from evop_deap.fitness.population import PopulationEvaluator
from evop_deap.models.anatomy import find_anatomy
from evop_deap.models.loading import load_model
from evop_deap.run.pipeline import run_search


def judged_texts(given: argparse.Namespace, tokenizer: Any) -> dict[str, NDArray[np.int64]]:
    """(windows, length) token ids of each domain and of each other text."""
    domains = domains_of(given.judged)
    documents = load_corpus(given.judged).documents
    found: dict[str, NDArray[np.int64]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for domain in sorted(set(domains.values())):
            whole = Path(scratch) / "domain.txt"
            whole.write_text(
                "\n\n".join(d.text for d in documents if domains[d.id] == domain), encoding="utf-8"
            )
            found[domain] = first_windows(
                whole, tokenizer, given.judged_window, given.judged_tokens
            )
    for path in given.text:
        found[path.name] = first_windows(path, tokenizer, given.judged_window, given.judged_tokens)
    return found


def searched(given: argparse.Namespace, where: str, seed: int) -> dict[str, Any]:
    """A search on a set with a seed: what was found, as `result.json` has it."""
    place = where.format(seed=seed)
    folder = (Path(place) / "calibration.json").is_file()
    config = SearchConfig(
        model=given.model,
        sparsity=given.sparsity,
        window=given.window,
        tokens=given.tokens,
        dtype=given.dtype,
        seed=seed,
        calibration=place if folder else "random",
        corpus="demo" if folder else place,
    )
    with tempfile.TemporaryDirectory() as scratch:
        return run_search(config, Path(scratch) / "run").as_dict()


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Every set and seed."""
    loaded = load_model(given.model, dtype=given.dtype)
    anatomy = find_anatomy(loaded.model)
    texts = judged_texts(given, loaded.tokenizer)
    judges = {n: PopulationEvaluator(loaded.model, anatomy, t) for n, t in texts.items()}
    dense = (1,) * len(anatomy.blocks)
    runs: list[dict[str, Any]] = []
    for name, where in (entry.split("=", 1) for entry in given.sets):
        for seed in given.seeds:
            result = searched(given, where, seed)
            pattern = tuple(int(str(i) not in result["dropped"]) for i in range(len(dense)))
            losses = {n: float(j.evaluate([pattern]).losses[0]) for n, j in judges.items()}
            runs.append(
                {
                    "set": name,
                    "seed": seed,
                    "dropped": result["dropped"],
                    "calibration_loss": result["fitness"]["pruned"],
                    "cost": result["cost"],
                    "losses": losses,
                }
            )
            print(_line(runs[-1], given), file=sys.stderr, flush=True)
    return {
        **circumstances(),
        "settings": {
            key: value
            for key, value in vars(given).items()
            if key not in ("json", "judged", "text", "sets")
        },
        "dense": {n: float(j.evaluate([dense]).losses[0]) for n, j in judges.items()},
        "texts": [path.name for path in given.text],
        "runs": runs,
    }


def _domains(losses: Mapping[str, float], others: list[str]) -> list[float]:
    return [loss for name, loss in losses.items() if name not in others]


def _line(run: dict[str, Any], given: argparse.Namespace) -> str:
    domains = _domains(run["losses"], [path.name for path in given.text])
    return (
        f"{run['set']} {run['seed']}: mean of domains {math.exp(statistics.mean(domains)):.2f}, "
        f"worst {math.exp(max(domains)):.2f}, without {', '.join(run['dropped'])}"
    )


def table(report: dict[str, Any]) -> str:
    """Perplexities: a row a set, geometric means over seeds; dense first."""
    names, others = list(report["dense"]), report["texts"]

    def row(label: str, runs: list[Mapping[str, float]]) -> list[str]:
        mean = {n: statistics.mean(losses[n] for losses in runs) for n in names}
        worst = statistics.mean(max(_domains(losses, others)) for losses in runs)
        domains = statistics.mean(_domains(mean, others))
        figures = [*(mean[n] for n in names), domains, worst]
        return [label, *(f"{math.exp(figure):.1f}" for figure in figures)]

    rows = [row("dense", [report["dense"]])]
    for label in dict.fromkeys(run["set"] for run in report["runs"]):
        rows.append(row(label, [r["losses"] for r in report["runs"] if r["set"] == label]))
    return markdown_table(["calibrated on", *names, "mean of domains", "worst domain"], rows)


def main() -> None:
    """Parse, search, judge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--sets", nargs="+", required=True, metavar="NAME=WHERE")
    parser.add_argument("--judged", required=True, help="JSON lines: id, domain, text")
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="other texts to judge on")
    parser.add_argument("--judged-window", type=int, default=512)
    parser.add_argument("--judged-tokens", type=int, default=8192, help="of each domain and text")
    parser.add_argument("--sparsity", type=float, default=0.2)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    report = measure(given)
    print(table(report))
    if given.json:
        write_json(given.json, report)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
