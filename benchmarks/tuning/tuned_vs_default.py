r"""Evaluations to the optimum with tuned settings and with the defaults, seed by seed.

    python -m benchmarks.tuning.tuned_vs_default --config runs/tuning/best.yaml \
        --landscape unseen.npz other.npz --json out.json
    python -m benchmarks.tuning.tuned_vs_default --against benchmarks/tuning/hand_set.yaml \
        --landscape ...

Each search runs until it has found the landscape's best pattern, or has used `--evaluations`, which
then count. It would have needed more, or could not find the pattern because a race had eliminated
it. For a fair comparison, use landscapes or numbers of dropped units on which the settings were not
tuned; seeds begin at 1000, which no study uses.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.settings.config_files import read_settings
from evop_deap.settings.presets import preset_names, preset_settings
from evop_deap.tuning.budgeted_run import search_in
from evop_deap.tuning.problems import Problem, landscape_problem
from evop_deap.tuning.settings_space import SettingsSpace

FIRST_SEED = 1000
DRAWS = 10_000


def to_optimum(
    problem: Problem, seed: int, settings: Mapping[str, Any], most: int | None = None
) -> dict[str, Any]:
    """Evaluations and cost of one search until it finds the optimum, with a limit of `most`."""
    evaluator = CachedEvaluator(problem.fitness)
    state = search_in(problem, evaluator, random.Random(seed), settings).run(
        Stopping(evaluations=min(most or problem.space.size, problem.space.size)),
        callbacks=[lambda state: state.best.loss <= problem.best],
    )
    found = state.best.loss <= problem.best
    return {"evaluations": state.evaluations, "cost": state.cost, "found": found}


def compare(
    problem: Problem,
    seeds: Sequence[int],
    settings: Mapping[str, Mapping[str, Any]],
    most: int | None = None,
) -> dict[str, Any]:
    """Search with each of the settings for each seed."""
    runs = [
        {"seed": seed, **{way: to_optimum(problem, seed, settings[way], most) for way in settings}}
        for seed in seeds
    ]
    return {"problem": problem.name, "patterns": problem.space.size, "runs": runs}


def reduction(reports: Sequence[Mapping[str, Any]], what: str) -> tuple[float, list[float]]:
    """The share of `what` that tuned settings save, and its 95 % interval.

    All problems have equal weight. The interval is a bootstrap over seeds within each problem,
    paired by seed.
    """
    rng = np.random.default_rng(0)
    saved, draws = [], np.zeros(DRAWS)
    for report in reports:
        pairs = np.array(
            [[run["tuned"][what], run["default"][what]] for run in report["runs"]], dtype=float
        )  # (seeds, 2)
        tuned, default = pairs.mean(axis=0)
        saved.append(1 - tuned / default)
        drawn = pairs[rng.integers(len(pairs), size=(DRAWS, len(pairs)))].mean(axis=1)
        draws += (1 - drawn[:, 0] / drawn[:, 1]) / len(reports)
    return statistics.fmean(saved), np.quantile(draws, [0.025, 0.975]).tolist()


def table(reports: Sequence[Mapping[str, Any]]) -> str:
    """A row for each problem, with means over seeds."""
    rows = []
    for report in reports:
        row = [report["file"], str(report["dropped"]), str(report["patterns"])]
        for what in ("evaluations", "cost", "found"):
            for way in ("default", "tuned"):
                mean = statistics.fmean(run[way][what] for run in report["runs"])
                row.append(f"{mean:.2f}" if what == "found" else f"{mean:.1f}")
        rows.append(row)
    header = ["landscape", "dropped", "patterns", "evaluations", "tuned", "cost", "tuned"]
    return markdown_table([*header, "optimum found", "tuned"], rows)


def main() -> None:
    """Parse, search, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--landscape", type=Path, nargs="+", required=True)
    parser.add_argument("--drop", type=int, nargs="+", help="units dropped (default: the most)")
    parser.add_argument("--config", type=Path, help="tuned settings (default: of --preset)")
    parser.add_argument("--preset", default="tuned", help="tuned settings that ship with evop_deap")
    parser.add_argument(
        "--against", default="default", help="preset to compare with, or a file of settings"
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--evaluations", type=count_flag, help="at the most (default: all patterns)"
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.seeds < 2:
        raise InputError(f"`seeds` must be at least 2 for an interval, but got {given.seeds}")
    tuned = read_settings(given.config) if given.config else preset_settings(given.preset)
    known = given.against in preset_names()
    try:
        against = preset_settings(given.against) if known else read_settings(Path(given.against))
    except InputError as error:
        raise InputError(str(error).replace("`config`", "`against`", 1)) from error
    whole = SettingsSpace().effective({})
    settings = {
        "default": whole | against,
        "tuned": {name: tuned.get(name, value) for name, value in whole.items()},
    }
    seeds = range(FIRST_SEED, FIRST_SEED + given.seeds)
    reports = []
    for path in given.landscape:
        for drop in given.drop or [None]:
            problem = landscape_problem(path, drop)
            report = compare(problem, seeds, settings, given.evaluations)
            reports.append({"file": path.name, "dropped": problem.space.n_drop, **report})
    print(table(reports))
    found: dict[str, Any] = {}
    for key, what in (("reduction", "evaluations"), ("cost_reduction", "cost")):
        share, (low, high) = reduction(reports, what)
        found |= {key: share, f"{key}_interval": [low, high]}
        print(f"{what}: {share:.1%} fewer ({low:.1%} to {high:.1%})")
    if given.json:
        about = {**circumstances(), **found, "evaluations": given.evaluations}
        write_json(given.json, {**about, "settings": settings, "reports": reports})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
