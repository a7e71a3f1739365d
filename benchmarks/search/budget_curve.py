r"""The curve of loss against size, from one run over several budgets or from one run for each.

    python -m benchmarks.search.budget_curve --corpus wiki.train.txt \
        --sparsity 0.1,0.2,0.3 --json out.json

Both ways have the same settings and the same limits for each budget, and neither uses the user's
cache. The only difference is that the budgets of one run share patterns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import (
    circumstances,
    errors_in_one_line,
    markdown_table,
    without_folders,
)
from evop_deap.base.files import write_json
from evop_deap.runs.listeners.progress import TerminalProgress
from evop_deap.runs.run_search import run_budgets, run_search
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.search_config import SearchConfig
from evop_deap.settings.shares import in_order, read_shares

TOGETHER, APART = "together", "apart"


def measure(config: SearchConfig, shares: Sequence[float]) -> dict[str, Any]:
    """Search both ways with one seed; return a row for each budget, and total costs."""
    progress = TerminalProgress(config.fitness)
    with tempfile.TemporaryDirectory() as folder:
        curve = run_budgets(config, shares, Path(folder) / TOGETHER, progress=progress)
        alone = [
            run_search(config.replace(sparsity=share), Path(folder) / f"{share}", progress=progress)
            for share in shares
        ]
    results = [result for result in alone if isinstance(result, SearchResult)]
    return {
        "seed": config.seed,
        TOGETHER: {"budgets": _rows(shares, curve.results), "cost": curve.cost},
        APART: {"budgets": _rows(shares, results), "cost": sum(result.cost for result in results)},
    }


def _rows(shares: Sequence[float], results: Sequence[SearchResult]) -> list[dict[str, Any]]:
    return [
        {
            "sparsity": share,
            "dropped": list(result.dropped),
            "parameters": result.parameters["pruned"],
            "calibration": result.calibration.loss["pruned"],
            "heldout": result.heldout.loss["pruned"],
            "dense_heldout": result.heldout.loss["dense"],
            "evaluations": result.evaluations,
            "cost": result.cost,
            "seconds": result.seconds,
        }
        for share, result in zip(shares, results, strict=True)
    ]


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Means over seeds for each budget and way: losses in nats per token, and costs."""
    rows = []
    for place, budget in enumerate(runs[0][TOGETHER]["budgets"]):
        for way in (TOGETHER, APART):
            found = [run[way]["budgets"][place] for run in runs]

            def mean(name: str, found: Sequence[Mapping[str, Any]] = found) -> float:
                return statistics.fmean(row[name] for row in found)

            rows.append(
                [
                    f"{budget['sparsity']:g}",
                    way,
                    f"{mean('parameters') / 1e6:.1f} M",
                    f"{mean('calibration'):.4f}",
                    f"{mean('heldout'):.4f}",
                    f"{mean('evaluations'):.0f}",
                    f"{mean('cost'):.1f}",
                ]
            )
    for way in (TOGETHER, APART):
        cost = statistics.fmean(run[way]["cost"] for run in runs)
        rows.append(["all", way, "", "", "", "", f"{cost:.1f}"])
    head = ["sparsity", "way", "parameters", "calibration", "held-out", "evaluations", "cost"]
    return markdown_table(head, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, search, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--corpus", default="demo")
    parser.add_argument("--sparsity", type=read_shares, default=(0.1, 0.2, 0.3))
    parser.add_argument("--granularity", default="block", choices=["block", "half"])
    parser.add_argument("--tokens", type=count_flag, default=2048)
    parser.add_argument("--heldout-tokens", type=count_flag, default=8192)
    parser.add_argument("--window", type=count_flag, default=256)
    parser.add_argument("--generations", type=count_flag, default=30)
    parser.add_argument("--population", type=count_flag, default=8)
    parser.add_argument("--offspring", type=count_flag, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path)
    given = vars(parser.parse_args(arguments))
    shares, seeds, output = (given.pop(name) for name in ("sparsity", "seeds", "json"))
    shares = in_order(shares)
    config = SearchConfig(sparsity=shares[:1], cache=False, compensate="off", **given)
    runs = []
    for seed in seeds:
        runs.append(measure(config.replace(seed=seed), shares))
        print(table(runs), flush=True)
        if output:
            settings = without_folders(config.as_dict(), "corpus") | {"sparsity": list(shares)}
            write_json(output, {**circumstances(), "settings": settings, "runs": runs})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
