"""How often, and how soon, each method finds the best pattern of a landscape.

    python -m benchmarks.search_quality --landscape FILE ... --seeds 100 --json out.json

The truth is known, so a method is judged by the share of seeds in which it has seen the optimum
after so many evaluations, and by its regret: the excess of the best loss seen over the optimum's,
in nats a token. Evaluations are of different patterns, each on all windows.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.racing import LANDSCAPE
from benchmarks.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.search_methods import TABULAR, trace
from evop_deap.errors import InputError
from evop_deap.files import write_json
from evop_deap.fitness.cache import CachedEvaluator
from evop_deap.fitness.landscape import Landscape, load_landscape
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.tuning.problems import Problem, landscape_problem

SHARES = (0.02, 0.05, 0.10)
SLOW = {"gp-sampler"}  # seconds a trial where others take milliseconds


@functools.cache
def opened(path: Path) -> tuple[Landscape, Problem]:
    """A landscape, and the search in its largest space."""
    return load_landscape(path), landscape_problem(path)


def best_so_far(job: tuple[Path, str, int, int]) -> tuple[list[float], float]:
    """Excess of the best loss after each evaluation, and the seconds that one seed took."""
    path, method, evaluations, seed = job
    landscape, problem = opened(path)
    space = problem.space
    evaluator = CachedEvaluator(TabularEvaluator(landscape))
    if space.dense in landscape.rows:
        evaluator.evaluate([space.dense])
    began = time.perf_counter()
    TABULAR[method](space, evaluator, evaluations, seed)
    seconds = time.perf_counter() - began
    losses = np.minimum.accumulate(trace(evaluator, space))
    # Who has seen no pattern of the space has no better answer than any.
    losses = np.where(np.isfinite(losses), losses, problem.typical) - problem.best
    # A method that ran out of ideas stays where it is.
    padded = np.pad(losses, (0, max(0, evaluations - len(losses))), mode="edge")
    return padded[:evaluations].tolist(), seconds


def measure(
    path: Path, methods: Sequence[str], seeds: int, workers: int, *, slow_seeds: int
) -> dict[str, Any]:
    """Each method's hit rate and mean regret, by share of the space and by evaluations."""
    landscape, problem = opened(path)
    space = problem.space
    evaluations = math.ceil(max(SHARES) * space.size)
    report: dict[str, Any] = {
        "landscape": {"file": path.name, "fingerprint": landscape.fingerprint, **landscape.about},
        "patterns": space.size,
        "optimum": problem.best,
        "methods": {},
    }
    # Fresh interpreters heed the threads asked for here: one each.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for method in methods:
            count = min(seeds, slow_seeds) if method in SLOW else seeds
            jobs = [(path, method, evaluations, seed) for seed in range(count)]
            try:
                found = list(pool.map(best_so_far, jobs))
            except InputError as error:  # rules that drop fewer units ask for patterns beside
                print(f"{path.name}: {method} left out: {error}", file=sys.stderr, flush=True)
                continue
            regrets = np.array([losses for losses, _ in found])  # (seeds, evaluations)
            report["methods"][method] = {
                "seeds": count,
                "seconds_per_seed": float(np.median([seconds for _, seconds in found])),
                **_summary(regrets, space.size),
            }
            print(f"{path.name}: {method} {count} seeds", file=sys.stderr, flush=True)
    return report


def _summary(regrets: NDArray[np.float64], size: int) -> dict[str, Any]:
    """Figures at the shares of the space, and curves at growing numbers of evaluations."""
    at = {str(share): math.ceil(share * size) - 1 for share in SHARES}
    hits = regrets <= 1e-12
    points = np.unique(np.geomspace(1, regrets.shape[1], 60).round().astype(int)) - 1
    error = regrets.std(axis=0, ddof=1) / math.sqrt(len(regrets)) if len(regrets) > 1 else None
    return {
        "hit_rate": {share: float(hits[:, place].mean()) for share, place in at.items()},
        "hit_interval": {share: wilson(hits[:, place]) for share, place in at.items()},
        "regret": {share: float(regrets[:, place].mean()) for share, place in at.items()},
        "curve": {
            "evaluations": (points + 1).tolist(),
            "hit_rate": hits[:, points].mean(axis=0).tolist(),
            "hit_interval": [wilson(hits[:, point]) for point in points],
            "regret": regrets[:, points].mean(axis=0).tolist(),
            "regret_error": None if error is None else error[points].tolist(),
        },
    }


def wilson(hits: NDArray[np.bool_]) -> list[float]:
    """The 95 % interval of a share (Wilson 1927)."""
    count, share, z = len(hits), float(hits.mean()), 1.96
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return [(middle + side * half) / (1 + z * z / count) for side in (-1, 1)]


def table(report: dict[str, Any]) -> str:
    """A row a method: hit rate and mean regret at each share of the space."""
    counts = [math.ceil(share * report["patterns"]) for share in SHARES]
    headings = [f"{share:.0%} ({count})" for share, count in zip(SHARES, counts, strict=True)]
    rows = []
    for name, figures in report["methods"].items():
        rates = [f"{figures['hit_rate'][str(share)]:.2f}" for share in SHARES]
        regrets = [f"{figures['regret'][str(share)]:.4f}" for share in SHARES]
        seconds = f"{figures['seconds_per_seed']:.2f}"
        rows.append([name, str(figures["seeds"]), *rates, *regrets, seconds])
    header = ["method", "seeds", *(f"hit {h}" for h in headings)]
    return markdown_table([*header, *(f"regret {h}" for h in headings), "s a seed"], rows)


def plot(reports: Sequence[dict[str, Any]], path: Path) -> None:
    """Hit rate and regret against evaluations, a row a landscape, with 95 % bands."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4 * len(reports)), layout="constrained")
    for row, report in zip(figure.subplots(len(reports), 2, squeeze=False), reports, strict=True):
        for name, figures in report["methods"].items():
            curve = figures["curve"]
            x, low_high = curve["evaluations"], np.array(curve["hit_interval"]).T
            (line,) = row[0].plot(x, curve["hit_rate"], label=name)
            row[0].fill_between(x, *low_high, color=line.get_color(), alpha=0.15, linewidth=0)
            regret = np.array(curve["regret"])
            row[1].plot(x, regret, color=line.get_color())
            if curve["regret_error"] is not None:
                half = 1.96 * np.array(curve["regret_error"])
                band = np.maximum(regret - half, 1e-4), regret + half
                row[1].fill_between(x, *band, color=line.get_color(), alpha=0.15, linewidth=0)
        row[0].set(ylabel="share of seeds that have seen the optimum", ylim=(0, 1.02))
        row[1].set(ylabel="mean regret, nats a token", yscale="log", ylim=(1e-4, None))
        for axis in row:
            axis.set(xscale="log", xlabel=f"evaluations, of {report['patterns']} patterns")
            axis.grid(alpha=0.3)
        row[0].set_title(report["landscape"]["file"], fontsize="medium")
        row[0].legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Parse, search, print, write and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--landscape", type=Path, nargs="+", default=[LANDSCAPE])
    parser.add_argument("--methods", nargs="+", choices=TABULAR, default=list(TABULAR))
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--slow-seeds", type=int, default=10, help="of Optuna's Gaussian process")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="PNG or SVG; needs the extra `bench`")
    given = parser.parse_args()
    if min(given.seeds, given.slow_seeds) < 1:
        raise InputError(f"`seeds` must be at least 1, but got {given.seeds}, {given.slow_seeds}")
    reports = []
    for path in given.landscape:
        reports.append(
            measure(path, given.methods, given.seeds, given.workers, slow_seeds=given.slow_seeds)
        )
        print(f"{path.name}\n\n{table(reports[-1])}\n")
    if given.json:
        write_json(given.json, {**circumstances(), "reports": reports})
    if given.plot:
        plot(reports, given.plot)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
