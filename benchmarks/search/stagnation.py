"""Ways out of local optima, on synthetic landscapes too large for their optimum to be known.

    python -m benchmarks.search.stagnation --seeds 50 --json out.json

Landscape files hold only patterns with few drops. For many drops, a Gaussian process is fitted to
the landscapes of the demo model and extrapolated, and random interactions of three to five units
are added. The demo model itself is not easier: with 12 of 60 halves dropped it has local optima
0.08 nats apart, and searches of 360 evaluations end in any of them. Every seed is another landscape
and all ways search the same ones. Regret is relative to the best pattern that any way has found.
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.landscapes import LANDSCAPES
from evop_deap.base.files import write_json
from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.landscape import load_landscape
from evop_deap.fitness.protocol import Evaluation
from evop_deap.space import Pattern, SearchSpace
from evop_deap.surrogate.fitting import fit_shape
from evop_deap.surrogate.gaussian_process import GaussianProcess
from evop_deap.surrogate.kernel import Drops, Layout, SetKernel, Shape, as_drops
from evop_deap.surrogate.preference import Surrogate

AFTER = (60, 100, 160, 240)  # evaluations
KINDS = {
    "12 of 60 halves": ("demo.halves.npz", 12, 0.8),
    "10 of 30 blocks": ("demo.blocks.npz", 10, 0.6),
}
"""By kind: the landscape to fit, the number of dropped units, and the size of the interactions."""

LOCAL = Surrogate(rounds=1, exploration_growth=0.0, climbers=0)
EIGHT = EvolutionSettings(population=8, offspring=8, racing="off")
WAYS = {
    "one round": (LOCAL, replace(EIGHT, proposals=33)),
    "three rounds": (replace(LOCAL, rounds=3), EIGHT),
    "three rounds, bolder": (Surrogate(climbers=0), EIGHT),
    "and local search": (Surrogate(), EIGHT),
    "and restart": (Surrogate(), replace(EIGHT, restart=6)),
}
_DENSE, _SPREAD = 3.0, 0.35  # nats a token; standard deviation of log excess losses
_FITTED, _SHAPED = 900, 250  # patterns to condition on, and to fit the kernel's parameters on


@dataclass(frozen=True, eq=False)
class Rugged:
    """An evaluator with one window; `excess(drops)` returns logarithms of excess losses."""

    excess: Callable[[Drops], NDArray[np.float64]]

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Judge each pattern."""
        losses = np.full(len(patterns), _DENSE)
        if patterns:
            drops = as_drops(patterns)
            losses += np.where(drops.any(axis=1), np.exp(self.excess(drops)), 0.0)
        return Evaluation(losses[:, None], np.ones(1, dtype=np.int64), np.ones(len(patterns)))


@functools.cache
def fitted(file: str) -> GaussianProcess:
    """A Gaussian process fitted to the logarithms of excess losses of a landscape file."""
    known = load_landscape(LANDSCAPES / file)
    drops, layout = as_drops(known.patterns.tolist()), Layout.of(known.units)
    pruned = drops.any(axis=1)
    excess = known.losses - known.losses[~pruned]
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(pruned))[:_FITTED]
    drops, values = drops[chosen], np.log(np.maximum(excess[chosen], 3e-3))
    some = values[:_SHAPED]
    scaled, size = (some - some.mean()) / some.std(), float(np.median(drops.sum(axis=1)))
    exact = np.zeros(len(values))
    shape = fit_shape(layout, drops[:_SHAPED], scaled, exact[:_SHAPED], size=size, powers=2)
    return GaussianProcess(SetKernel(layout, shape, size), drops, values, exact)


def rugged(kind: str, seed: int) -> tuple[SearchSpace, Rugged]:
    """A random landscape of this kind."""
    file, n_drop, rough = KINDS[kind]
    process, rng = fitted(file), np.random.default_rng(seed)
    space = SearchSpace(load_landscape(LANDSCAPES / file).units, n_drop)
    usual = np.array([rng.permutation(len(space.units)) < n_drop for _ in range(400)], dtype=float)
    parts = [lambda drops: process.kernel(drops, process.drops) @ process.weights]
    parts += [interactions(process, n_drop, order, rng) for order in (3, 4, 5)]
    moments = [(part(usual).mean(), part(usual).std()) for part in parts]
    weights = [1.0, rough, rough, rough]

    def excess(drops: Drops) -> NDArray[np.float64]:
        scaled = [(part(drops) - m) / s for part, (m, s) in zip(parts, moments, strict=True)]
        total: NDArray[np.float64] = _SPREAD * np.einsum("k,kp->p", weights, scaled)
        return total

    return space, Rugged(excess)


def interactions(
    process: GaussianProcess, size: int, order: int, rng: np.random.Generator, features: int = 600
) -> Callable[[Drops], NDArray[np.float64]]:
    """Draw a function that has only interactions of `order` units."""
    alike = SetKernel(process.kernel.layout, Shape((1.0,), smooth=0.5, reach=2.0), size).likeness
    root = np.linalg.cholesky(alike + 1e-9 * np.eye(len(alike))) / size**0.5
    directions = rng.normal(size=(order, len(alike), features))
    weights = rng.normal(size=features) / features**0.5

    def draw(drops: Drops) -> NDArray[np.float64]:
        product = np.prod((drops @ root) @ directions, axis=0)
        return np.asarray(product @ weights)

    return draw


def best_after(space: SearchSpace, rough: Rugged, way: str, seed: int) -> list[float]:
    """The lowest loss after each number of evaluations in `AFTER`."""
    surrogate, settings = WAYS[way]
    evaluator = CachedEvaluator(rough)
    evaluator.evaluate([space.dense])
    search = assemble(space, evaluator, random.Random(seed), settings, surrogate=surrogate)
    state = search.run(Stopping(evaluations=max(AFTER)))
    lowest = np.minimum.accumulate(list(state.losses.values()))
    return [float(lowest[min(count, len(lowest)) - 1]) for count in AFTER]


def measure(seeds: int, path: Path | None) -> dict[str, Any]:
    """Run every way on the same landscapes; write the results after each seed."""
    runs: list[dict[str, Any]] = []
    report = {**circumstances(), "after": AFTER, "runs": runs}
    for seed in range(seeds):
        for kind in KINDS:
            space, rough = rugged(kind, seed)
            best = {way: best_after(space, rough, way, seed) for way in WAYS}
            runs.append({"kind": kind, "seed": seed, "best": best})
        if path:
            write_json(path, report)
        print(f"seed {seed}", file=sys.stderr, flush=True)
    return report


def table(report: Mapping[str, Any]) -> str:
    """A row for each kind and way: mean regret in thousandths of a nat, and share of wins."""
    rows = []
    for kind in KINDS:
        runs = [run["best"] for run in report["runs"] if run["kind"] == kind]
        lowest = np.array([min(min(best) for best in run.values()) for run in runs])
        for way in WAYS:
            regret = np.array([run[way] for run in runs]) - lowest[:, None]
            error = regret.std(axis=0, ddof=1) / len(runs) ** 0.5
            cells = [
                f"{1e3 * m:.1f} ± {1e3 * e:.1f}" for m, e in zip(regret.mean(0), error, strict=True)
            ]
            rows.append([kind, way, *cells, f"{(regret[:, -1] < 1e-9).mean():.2f}"])
    return markdown_table(["dropped", "way", *(f"after {n}" for n in AFTER), "best of all"], rows)


def main() -> None:
    """Parse, search, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=count_flag, default=50)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(table(measure(given.seeds, given.json)))


if __name__ == "__main__":
    with errors_in_one_line():
        main()
