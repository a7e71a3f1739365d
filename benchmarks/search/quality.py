"""Hit rate and regret of each method on landscapes, by number of evaluations.

    python -m benchmarks.search.quality --landscape FILE ... --seeds 100 --json out.json

The optimum is known. The hit rate is the share of seeds that have evaluated it after a number of
evaluations. Regret is the best loss seen minus the optimum's, in nats per token. Evaluations are of
different patterns, each on all windows.

The JSON file is written whenever a method has finished all seeds of a landscape. Results in it are
not repeated; an interrupted method is not in it. Each has its own versions, machine and commit; one
that has none is of those at the top of the file, or earlier.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line
from benchmarks.landscapes import DEMO_LANDSCAPE
from benchmarks.search.methods import TABULAR, settings_of, trace
from benchmarks.search.quality_tables import SHARES, plot, tables
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.landscape import Landscape, load_landscape
from evop_deap.fitness.protocol import Evaluation
from evop_deap.heuristics import Task
from evop_deap.space import Pattern
from evop_deap.tuning.problems import Problem, landscape_problem

SLOW = {"tpe": (10, max(SHARES)), "gp-sampler": (5, min(SHARES))}
"""Slow methods, with their number of seeds and the share of a space up to which they run."""


EXACTLY = 1e-12
"""Tolerance in nats per token within which a loss equals the optimum's."""


@functools.cache
def opened(path: Path) -> tuple[Landscape, Problem]:
    """A landscape, and the search in its largest space."""
    return load_landscape(path), landscape_problem(path)


class FoundError(Exception):
    """Raised when the optimum is evaluated: later evaluations change no figure."""


class UntilFound(CachedEvaluator):
    """An evaluator of a landscape that ends a search once it evaluates the optimum."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.fitness)
        self._problem = problem

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate; raise `FoundError` if the optimum is among the patterns."""
        before = len(self.rows)
        found = super().evaluate(patterns, windows)
        inside = [p in self._problem.space for p in map(tuple, patterns)]
        best = found.losses[inside].min(initial=np.inf) <= self._problem.best + EXACTLY
        if best and len(self.rows) > before:
            raise FoundError
        return found


def best_so_far(job: tuple[Path, str, int, int]) -> tuple[list[float], float]:
    """Regret after each evaluation, and the seconds until the optimum or the end."""
    path, method, evaluations, seed = job
    landscape, problem = opened(path)
    space = problem.space
    evaluator = UntilFound(problem)
    if space.dense in landscape.rows:
        evaluator.evaluate([space.dense])
    began = time.perf_counter()
    with suppress(FoundError):
        limit = Stopping(evaluations=evaluations)
        TABULAR[method](Task(space, evaluator, random.Random(seed), limit, scores=problem.scores))
    seconds = time.perf_counter() - began
    losses = np.minimum.accumulate(trace(evaluator, space))
    # Before a pattern of the space is evaluated, the typical loss counts.
    losses = np.where(np.isfinite(losses), losses, problem.typical) - problem.best
    # A method that ends early keeps its last value.
    padded = np.pad(losses, (0, max(0, evaluations - len(losses))), mode="edge")
    return padded[:evaluations].tolist(), seconds


def measure(
    reports: list[dict[str, Any]], given: argparse.Namespace, pool: Executor
) -> Iterator[None]:
    """Add missing results to `reports`, one method on one landscape at a time."""
    known = _by_fingerprint(reports)
    for path in given.landscape:
        landscape, problem = opened(path)
        if (report := known.get(landscape.fingerprint)) is None:
            about = {name: said for name, said in landscape.about.items() if name != "looks"}
            about |= {"file": path.name, "fingerprint": landscape.fingerprint}
            report = {"landscape": about, "patterns": problem.space.size}
            report |= {"optimum": problem.best, "methods": {}}
            reports.append(report)
        for method in given.methods:
            most, share = SLOW.get(method, (given.seeds, max(SHARES)))
            asked = {
                "seeds": min(given.seeds, most),
                "evaluations": math.ceil(share * problem.space.size),
                "settings": settings_of(method),
            }
            before = report["methods"].get(method, {})
            if asked.items() <= before.items():
                continue
            try:
                figures = _figures(path, method, problem.space.size, asked, pool)
            except InputError as error:  # heuristics that drop fewer units need patterns outside
                print(f"{path.name}: {method} left out: {error}", file=sys.stderr, flush=True)
                continue
            report["methods"][method] = {**circumstances(), **asked, **figures}
            print(f"{path.name}: {method}", file=sys.stderr, flush=True)
            yield


def _figures(
    path: Path, method: str, size: int, asked: dict[str, Any], pool: Executor
) -> dict[str, Any]:
    """A method's hit rate and mean regret, by share of the space and by number of evaluations."""
    jobs = [(path, method, asked["evaluations"], seed) for seed in range(asked["seeds"])]
    found = list(pool.map(best_so_far, jobs))
    regrets = np.array([losses for losses, _ in found])  # (seeds, evaluations)
    seconds = float(np.median([seconds for _, seconds in found]))
    return {"seconds_per_seed": seconds, **_summary(regrets, size)}


def _summary(regrets: NDArray[np.float64], size: int) -> dict[str, Any]:
    """Figures at the shares of the space, and curves over the number of evaluations."""
    at = {str(share): math.ceil(share * size) - 1 for share in SHARES}
    at = {share: place for share, place in at.items() if place < regrets.shape[1]}
    hits = regrets <= EXACTLY
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
    ends = [(middle + side * half) / (1 + z * z / count) for side in (-1, 1)]
    return [max(0.0, ends[0]), min(1.0, ends[1])]


def kept_in(path: Path | None) -> dict[str, Any]:
    """Read the file of an earlier call; an empty one of today if there is none.

    Raises:
        InputError: the file is no result of this benchmark.
    """
    if path is None or not path.exists():
        return {**circumstances(), "reports": []}
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        tables(kept["reports"])
        _by_fingerprint(kept["reports"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"`json` {path} is not a file of this benchmark: {error!r}") from error
    return kept


def _by_fingerprint(reports: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {report["landscape"]["fingerprint"]: report for report in reports}


def main() -> None:
    """Parse, search, write, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--landscape", type=Path, nargs="+", default=[DEMO_LANDSCAPE])
    parser.add_argument("--methods", nargs="+", choices=TABULAR, default=list(TABULAR))
    parser.add_argument("--seeds", type=count_flag, default=100)
    parser.add_argument("--workers", type=count_flag, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="PNG or SVG; needs the extra `bench`")
    given = parser.parse_args()
    kept = kept_in(given.json)
    reports = kept["reports"]
    # Spawned interpreters use the number of threads set here: one each.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        for _ in measure(reports, given, pool):
            if given.json:
                write_json(given.json, kept)
    print(tables(reports))
    if given.plot:
        plot(reports, given.plot)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
