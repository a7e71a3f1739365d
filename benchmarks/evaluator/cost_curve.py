"""Cost of a generation by its size and by the share of dropped units, in work and in seconds.

    python -m benchmarks.evaluator.cost_curve --json out.json --plot out.png

Populations are children of one pattern (1 to 3 swaps), evaluated without kept states. Work is
counted and the same on every machine; seconds are of this machine.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import Any

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import (
    circumstances,
    errors_in_one_line,
    markdown_table,
    without_folders,
)
from benchmarks.evaluator.speed import children_of, seconds_of
from evop_deap.base.files import write_json
from evop_deap.evolution.operators import init_uniform
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.stages.prepare import prepare
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import SearchSpace, units_to_drop


def measure(prepared: Prepared, sparsities: list[float], sizes: list[int]) -> list[dict[str, Any]]:
    """Measure; return a row for each share of dropped units and population size."""
    model, anatomy, tokens = (
        prepared.loaded.model,
        prepared.anatomy,
        prepared.text.calibration.tokens,
    )
    units = prepared.space.units
    # The first pass of a process takes longer than any other.
    PopulationEvaluator(model, anatomy, tokens).evaluate([prepared.space.dense])
    rows = []
    for sparsity in sparsities:
        space = SearchSpace(units, units_to_drop(len(units), sparsity))
        rng = random.Random(0)
        elite = init_uniform(space, rng=rng)
        for size in sizes:
            patterns = children_of(elite, size, space, rng)
            evaluator = PopulationEvaluator(model, anatomy, tokens)
            found = []
            seconds = seconds_of(lambda: found.append(evaluator.evaluate(patterns)))  # noqa: B023
            rows.append(
                {
                    "sparsity": sparsity,
                    "patterns": size,
                    "cost": found[0].cost,
                    "seconds": seconds,
                    "block_tokens": found[0].work.block_tokens,
                    "head_tokens": found[0].work.head_tokens,
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """A row for each measurement, with figures per pattern."""
    return markdown_table(
        ["dropped", "patterns", "cost a pattern", "seconds a pattern"],
        [
            [
                f"{row['sparsity']:.0%}",
                str(row["patterns"]),
                f"{row['cost'] / row['patterns']:.3f}",
                f"{row['seconds'] / row['patterns']:.3f}",
            ]
            for row in rows
        ],
    )


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot both figures per pattern against the size of the population."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    titles = {"cost": "dense forward passes a pattern", "seconds": "seconds a pattern"}
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for sparsity in dict.fromkeys(row["sparsity"] for row in rows):
            some = [row for row in rows if row["sparsity"] == sparsity]
            axis.plot(
                [row["patterns"] for row in some],
                [row[name] / row["patterns"] for row in some],
                marker="o",
                label=f"{sparsity:.0%} of the blocks dropped",
            )
        axis.set(xscale="log", xlabel="patterns in the population", ylabel=title)
        axis.set_xticks([row["patterns"] for row in some], [str(row["patterns"]) for row in some])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Parse, measure, print, write and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--corpus", default="demo")
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.1, 0.2, 0.33])
    parser.add_argument("--sizes", type=count_flag, nargs="+", default=[8, 32, 128, 512])
    parser.add_argument("--window", type=count_flag, default=128)
    parser.add_argument("--tokens", type=count_flag, default=128)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="PNG or SVG; needs the extra `bench`")
    given = parser.parse_args()
    config = SearchConfig(
        compensate="off",
        model=given.model,
        corpus=given.corpus,
        sparsity=given.sparsities[0],
        window=given.window,
        tokens=given.tokens,
        dtype=given.dtype,
    )
    prepared = prepare(config, Progress())
    rows = measure(prepared, given.sparsities, given.sizes)
    print(table(rows))
    if given.json:
        settings = without_folders(config.as_dict(), "corpus")
        settings["dtype"] = str(prepared.loaded.model.dtype)
        write_json(given.json, {**circumstances(), "settings": settings, "rows": rows})
    if given.plot:
        plot(rows, given.plot)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
