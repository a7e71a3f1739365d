"""Share of searches that find the optimum, by mutation rate and population size, as a heat map.

    python -m benchmarks.tuning.mutation --json out.json --png out.png

Every child has two parents, so the rate is the share of mutated children. There is no surrogate
unless `--surrogate` names one. Each cell of the map has a search of every landscape with every
seed, all with the same number of evaluations.
"""

from __future__ import annotations

import argparse
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.landscapes import DEMO_LANDSCAPE
from evop_deap.base.files import write_bytes, write_json
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.tuning.budgeted_run import search_in
from evop_deap.tuning.problems import Problem, landscape_problem
from evop_deap.tuning.settings_space import SettingsSpace

RATES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
POPULATIONS = (2, 4, 8, 16, 32)


def finds_optimum(
    problem: Problem,
    seed: int,
    *,
    rate: float,
    population: int,
    evaluations: int,
    surrogate: str = "none",
) -> bool:
    """Whether one search finds the optimum in this number of evaluations."""
    settings = SettingsSpace().effective(
        {
            "population": population,
            "crossover": 1.0,
            "mutation": rate,
            "racing": "off",
            "surrogate": surrogate,
        }
    )
    evaluator = CachedEvaluator(problem.fitness)
    state = search_in(problem, evaluator, random.Random(seed), settings).run(
        Stopping(evaluations=evaluations),
        callbacks=[lambda state: state.best.loss <= problem.best],
    )
    return state.best.loss <= problem.best


def success(
    problems: Sequence[Problem],
    seeds: Sequence[int],
    rates: Sequence[float],
    populations: Sequence[int],
    evaluations: int,
    surrogate: str = "none",
) -> NDArray[np.float64]:
    """(populations, rates) share of searches that find the optimum."""
    return np.array(
        [
            [
                np.mean(
                    [
                        finds_optimum(
                            problem,
                            seed,
                            rate=rate,
                            population=population,
                            evaluations=evaluations,
                            surrogate=surrogate,
                        )
                        for problem in problems
                        for seed in seeds
                    ]
                )
                for rate in rates
            ]
            for population in populations
        ]
    )


def heat_map(
    shares: NDArray[np.float64], rates: Sequence[float], populations: Sequence[int], title: str
) -> bytes:
    """Draw the shares as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis", aspect="auto", origin="lower")
    axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.set_yticks(range(len(populations)), list(map(str, populations)))
    axes.set_xlabel("mutation rate")
    axes.set_ylabel("population")
    axes.set_title(title)
    for row, column in np.ndindex(shares.shape):
        shade = "white" if shares[row, column] < 0.6 else "black"
        text = f"{shares[row, column]:.2f}"
        axes.text(column, row, text, ha="center", va="center", color=shade)
    figure.colorbar(image, label="optimum found")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def main() -> None:
    """Parse, search, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--landscape", type=Path, nargs="+", default=[DEMO_LANDSCAPE])
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--populations", type=int, nargs="+", default=POPULATIONS)
    parser.add_argument("--evaluations", type=count_flag, default=120, help="of each search")
    parser.add_argument("--surrogate", choices=("none", "linear", "gp"), default="none")
    parser.add_argument("--seeds", type=count_flag, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    given = parser.parse_args()
    SettingsSpace.from_mapping(
        {"mutation": list(given.rates), "population": list(given.populations)}
    )
    problems = [landscape_problem(path) for path in given.landscape]
    seeds = range(given.seeds)
    shares = success(
        problems,
        seeds,
        given.rates,
        given.populations,
        given.evaluations,
        given.surrogate,
    )
    header = ["population", *(f"{rate:g}" for rate in given.rates)]
    rows = [
        [str(population), *(f"{share:.2f}" for share in row)]
        for population, row in zip(given.populations, shares.tolist(), strict=True)
    ]
    print(markdown_table(header, rows))
    report: dict[str, Any] = {
        "landscapes": [path.name for path in given.landscape],
        "surrogate": given.surrogate,
        "evaluations": given.evaluations,
        "seeds": given.seeds,
        "rates": list(given.rates),
        "populations": list(given.populations),
        "success": shares.tolist(),
    }
    if given.json:
        write_json(given.json, {**circumstances(), **report})
    if given.png:
        title = f"optimum found in {given.evaluations} evaluations"
        write_bytes(given.png, heat_map(shares, given.rates, given.populations, title))


if __name__ == "__main__":
    with errors_in_one_line():
        main()
