r"""Held-out perplexity of the search's pattern, of ShortGPT's and of a random one.

For each seed all three are evaluated on the same windows. The seed also decides the split into
calibration and held-out documents.

    python -m benchmarks.search.against_heuristics --corpus wiki.train.txt --seeds 0 1 2 \
        --json out.json
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import (
    circumstances,
    errors_in_one_line,
    markdown_table,
    without_folders,
)
from evop_deap.base.files import write_json
from evop_deap.evolution.operators import init_uniform
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.heuristics.block_influence import block_influence, least_influential
from evop_deap.runs.listeners.progress import Progress, TerminalProgress
from evop_deap.runs.run_search import run_search
from evop_deap.runs.stages.prepare import prepare
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import dropped_units


def measure(config: SearchConfig) -> dict[str, Any]:
    """Search once and evaluate the three patterns and the dense model on both texts."""
    with tempfile.TemporaryDirectory() as folder:
        result = run_search(config, Path(folder) / "run", progress=TerminalProgress())
    assert isinstance(result, SearchResult)
    subject = prepare(config, Progress())
    model, anatomy, space = subject.loaded.model, subject.anatomy, subject.space
    influences = block_influence(model, anatomy, subject.text.calibration.tokens)
    patterns = {
        "dense": space.dense,
        "found": space.pattern(map(int, result.dropped)),
        "block influence": least_influential(influences, space),
        "random": init_uniform(space, rng=random.Random(config.seed)).pattern,
    }
    perplexities = {
        part: np.exp(
            ReferenceEvaluator(model, anatomy, windows.tokens).evaluate([*patterns.values()]).losses
        ).tolist()
        for part, windows in (
            ("calibration", subject.text.calibration),
            ("heldout", subject.text.heldout),
        )
    }
    return {
        "seed": config.seed,
        "evaluations": result.evaluations,
        "cost": result.cost,
        "seconds": result.seconds,
        "dtype": result.dtype,
        "patterns": {
            name: {
                "dropped": list(dropped_units(pattern)),
                "calibration": perplexities["calibration"][i],
                "heldout": perplexities["heldout"][i],
            }
            for i, (name, pattern) in enumerate(patterns.items())
        },
    }


def table(runs: list[dict[str, Any]]) -> str:
    """Held-out (calibration) perplexities with a row for each seed, and their geometric mean."""
    names = list(runs[0]["patterns"])
    rows = [
        [
            str(run["seed"]),
            *(f"{p['heldout']:.1f} ({p['calibration']:.1f})" for p in run["patterns"].values()),
            str(run["evaluations"]),
            f"{run['cost']:.0f}",
        ]
        for run in runs
    ]
    means = [
        math.exp(sum(math.log(run["patterns"][name]["heldout"]) for run in runs) / len(runs))
        for name in names
    ]
    rows.append(["mean", *(f"{mean:.1f}" for mean in means), "", ""])
    return markdown_table(["seed", *names, "evaluations", "cost"], rows)


def main() -> None:
    """Parse, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--corpus", required=True, help="text file, jsonl, csv, parquet or folder")
    parser.add_argument("--sparsity", type=float, default=0.2)
    parser.add_argument("--tokens", type=count_flag, default=2048)
    parser.add_argument("--window", type=count_flag, default=256)
    parser.add_argument("--generations", type=count_flag, default=30)
    parser.add_argument("--population", type=count_flag, default=8)
    parser.add_argument("--offspring", type=count_flag, default=8)
    parser.add_argument("--surrogate", default="gp", choices=["gp", "linear", "none"])
    parser.add_argument("--racing", default="on", choices=["on", "off"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    config = SearchConfig(
        compensate="off",
        model=given.model,
        corpus=given.corpus,
        sparsity=given.sparsity,
        tokens=given.tokens,
        window=given.window,
        generations=given.generations,
        population=given.population,
        offspring=given.offspring,
        surrogate=given.surrogate,
        racing=given.racing,
    )
    runs = []
    for seed in given.seeds:
        runs.append(measure(config.replace(seed=seed)))
        print(table(runs), flush=True)
        if given.json:
            settings = without_folders(config.as_dict(), "corpus")
            write_json(given.json, {**circumstances(), "settings": settings, "runs": runs})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
