"""The cost that racing saves, and its effect on the result, on a landscape of known losses.

    python -m benchmarks.search.racing --json out.json

For each seed the same search runs with and without racing on the true window sums of the patterns.
The cost is that of the population evaluator; it is counted, not timed. So a run takes seconds and
gives the same figures on every machine.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.landscapes import DEMO_LANDSCAPE
from evop_deap.base.files import write_json
from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.landscape import Landscape, load_landscape
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import SearchSpace
from evop_deap.tuning.problems import landscape_problem

DEFAULTS = SearchConfig(model="demo", sparsity=(0.1,))


def search(
    landscape: Landscape, space: SearchSpace, seed: int, generations: int, racing: str
) -> EvolutionState:
    """Run one search with the default settings except `racing`."""
    evaluator = CachedEvaluator(TabularEvaluator(landscape))
    evaluator.evaluate([space.dense])
    settings = replace(DEFAULTS.evolution, racing=racing)
    search = assemble(space, evaluator, random.Random(seed), settings)
    return search.run(Stopping(generations=generations))


def measure(path: Path, seeds: int, generations: int) -> dict[str, Any]:
    """Run each seed both ways; return the share of cost, and how often the result is the same."""
    landscape = load_landscape(path)
    problem = landscape_problem(path)
    space, optimum = problem.space, problem.best
    runs: list[dict[str, Any]] = []
    for seed in range(seeds):
        exact = search(landscape, space, seed, generations, "off")
        raced = search(landscape, space, seed, generations, "on")
        runs.append(
            {
                "seed": seed,
                "same_winner": raced.best == exact.best,
                "exact": _summary(exact, optimum),
                "raced": _summary(raced, optimum),
            }
        )
    return {
        "landscape": {"file": path.name, "fingerprint": landscape.fingerprint, **landscape.about},
        "patterns": math.comb(len(space.droppable), space.n_drop),
        "generations": generations,
        "population": DEFAULTS.population,
        "offspring": DEFAULTS.offspring,
        "racing_same_winner": sum(run["same_winner"] for run in runs),
        "racing_seeds": seeds,
        "racing_cost_share": statistics.median(
            run["raced"]["cost"] / run["exact"]["cost"] for run in runs
        ),
        "runs": runs,
    }


def _summary(state: EvolutionState, optimum: float) -> dict[str, Any]:
    return {
        "loss": state.best.loss,
        "optimum": state.best.loss <= optimum,
        "evaluations": state.evaluations,
        "in_full": len(state.losses),
        "cost": state.cost,
    }


def table(reports: list[dict[str, Any]]) -> str:
    """A row for each length of search."""
    rows = []
    for report in reports:
        runs = report["runs"]
        columns = {
            name: [statistics.fmean(run[way][name] for run in runs) for way in ("exact", "raced")]
            for name in ("optimum", "evaluations", "in_full", "cost")
        }
        rows.append(
            [
                str(report["generations"]),
                f"{columns['evaluations'][0]:.0f}",
                f"{columns['in_full'][1]:.0f}",
                f"{columns['cost'][0]:.0f}",
                f"{columns['cost'][1]:.0f}",
                f"{report['racing_cost_share']:.2f}",
                f"{report['racing_same_winner']} of {report['racing_seeds']}",
                f"{columns['optimum'][0]:.2f}",
                f"{columns['optimum'][1]:.2f}",
            ]
        )
    header = ["generations", "patterns", "in full", "cost", "cost raced", "share"]
    return markdown_table([*header, "same winner", "optimum found", "raced"], rows)


def main() -> None:
    """Parse, search, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--landscape", type=Path, default=DEMO_LANDSCAPE)
    parser.add_argument("--seeds", type=count_flag, default=20)
    parser.add_argument("--generations", type=count_flag, nargs="+", default=[16, 32, 60])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    reports = [measure(given.landscape, given.seeds, count) for count in given.generations]
    print(table(reports))
    if given.json:
        write_json(given.json, {**circumstances(), "reports": reports})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
