r"""Evaluations until the default search finds a landscape's optimum, by its first patterns.

    python -m benchmarks.search.seeding --landscape FILE --text wiki.train.txt --seeds 100 \
        --json out.json

All costs count: the patterns that heuristics evaluate, inside and outside the space, and the passes
in which they score the model. The text should be that of the landscape.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.landscapes import DEMO_LANDSCAPE
from benchmarks.search.curves import first_windows
from benchmarks.search.methods import DEFAULTS
from benchmarks.search.quality import EXACTLY
from evop_deap.base.files import write_json
from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import Seeds
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.landscape import load_landscape
from evop_deap.heuristics import METHODS, ModelParts, Task
from evop_deap.heuristics.first_patterns import seeds_of
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.load_model import load_model
from evop_deap.settings.heuristic_names import BALANCED
from evop_deap.space import Pattern
from evop_deap.tuning.problems import Problem, landscape_problem

INITS = (
    BALANCED,
    "block-influence",
    "relative-magnitude",
    " ".join(DEFAULTS.init),
    "leave-one-out",
    "sleb",
)
AFTER = (31, 46, 62, 77)  # evaluations

Beginning = tuple[Seeds, Mapping[Pattern, NDArray[np.float64]]]
"""What heuristics pick, and the window sums that they have asked for."""


def beginning(problem: Problem, parts: ModelParts, init: str) -> Beginning:
    """The seeds of a search with this `init`; they do not depend on the random seed."""
    evaluator = CachedEvaluator(problem.fitness)
    evaluator.evaluate([problem.space.dense])
    if init == BALANCED:
        return Seeds(), evaluator.rows
    task = Task(problem.space, evaluator, random.Random(0), parts=parts)
    return seeds_of([METHODS[name] for name in init.split()], task), evaluator.rows


def search(problem: Problem, begun: Beginning, seed: int, evaluations: int) -> EvolutionState:
    """Run the default search without racing until it has evaluated the optimum."""
    seeds, rows = begun
    evaluator, rng = CachedEvaluator(problem.fitness), random.Random(seed)
    evaluator.restore(rows)
    settings = replace(DEFAULTS.evolution, racing="off")
    return assemble(problem.space, evaluator, rng, settings, begin=lambda: seeds).run(
        Stopping(evaluations=evaluations),
        callbacks=[lambda state: state.best.loss <= problem.best + EXACTLY],
    )


def figures(problem: Problem, state: EvolutionState) -> dict[str, Any]:
    """Evaluations until the optimum, the cost by the end of that generation, and regrets."""
    lowest = np.minimum.accumulate(list(state.losses.values())) - problem.best
    reached = np.flatnonzero(lowest <= EXACTLY)
    found = reached.size > 0

    def regret(evaluations: int) -> float:
        inside = min(evaluations - state.other_evaluations, len(lowest))
        return float(lowest[inside - 1]) if inside > 0 else problem.typical - problem.best

    return {
        "evaluations": state.other_evaluations + int(reached[0]) + 1 if found else None,
        "cost": state.cost if found else None,
        "regret": {str(count): regret(count) for count in AFTER},
    }


def measure(
    problem: Problem, parts: ModelParts, inits: Sequence[str], seeds: int, evaluations: int
) -> dict[str, Any]:
    """Measure each `init` over the seeds."""
    found: dict[str, Any] = {}
    for init in inits:
        begun = beginning(problem, parts, init)
        runs = [
            figures(problem, search(problem, begun, seed, evaluations)) for seed in range(seeds)
        ]
        found[init] = summary(runs, evaluations)
        print(f"{init}: {found[init]}", file=sys.stderr, flush=True)
    return found


def summary(runs: Sequence[Mapping[str, Any]], evaluations: int) -> dict[str, Any]:
    """Means over seeds; a seed that does not find the optimum counts with the limit."""
    counts = [run["evaluations"] or evaluations for run in runs]
    costs = [run["cost"] for run in runs if run["cost"] is not None]
    error = statistics.stdev(counts) / len(counts) ** 0.5 if len(counts) > 1 else None
    return {
        "evaluations": statistics.fmean(counts),
        "error": error,
        "cost": statistics.median(costs) if costs else None,
        "hit_rate": {
            str(n): statistics.fmean((run["evaluations"] or evaluations + 1) <= n for run in runs)
            for n in AFTER
        },
        "regret": {str(n): statistics.fmean(r["regret"][str(n)] for r in runs) for n in AFTER},
    }


def table(report: Mapping[str, Any]) -> str:
    """A row for each `init`."""
    rows = [
        [
            init,
            f"{row['evaluations']:.1f} ± {row['error'] or 0:.1f}",
            "none" if row["cost"] is None else f"{row['cost']:.1f}",
            *(f"{row['hit_rate'][str(n)]:.2f}, {row['regret'][str(n)]:.4f}" for n in AFTER),
        ]
        for init, row in report.items()
    ]
    return markdown_table(
        ["init", "to the optimum", "cost", *(f"hit, regret {n}" for n in AFTER)], rows
    )


def main() -> None:
    """Parse, search, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--landscape", type=Path, default=DEMO_LANDSCAPE)
    parser.add_argument("--model", default="demo")
    parser.add_argument(
        "--text", type=Path, required=True, help="text on which heuristics score the model"
    )
    parser.add_argument("--inits", nargs="+", default=list(INITS), help="each in quotes")
    parser.add_argument("--seeds", type=count_flag, default=100)
    parser.add_argument(
        "--evaluations", type=count_flag, default=150, help="of every search, at most"
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    landscape, problem = load_landscape(given.landscape), landscape_problem(given.landscape)
    loaded = load_model(given.model, dtype="float32")
    window = int(landscape.about.get("window", landscape.tokens[0] + 1))
    tokens = window * len(landscape.tokens)
    windows = first_windows(given.text, loaded.tokenizer, window, tokens)
    parts = ModelParts(loaded.model, find_anatomy(loaded.model), windows)
    report = measure(problem, parts, given.inits, given.seeds, given.evaluations)
    print(table(report))
    if given.json:
        settings = {name: getattr(given, name) for name in ("model", "seeds", "evaluations")}
        about = {"landscape": given.landscape.name, "text": given.text.name, **settings}
        write_json(given.json, {**circumstances(), **about, "inits": report})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
