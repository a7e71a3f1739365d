"""How well the rule that ends a search when it is sure is calibrated, and what it saves.

    python -m benchmarks.search.when_sure --seeds 30 --run runs/seed0 runs/seed1 --json out.json

Searches run for 60 generations, on landscapes of known losses, on large synthetic landscapes
(`stagnation.py`), and on a model: `--run` takes folders of runs made with --stop-when-sure off.
Each rule is then applied to the course of each search. Regret is the best loss at the end of the
shortened search minus the optimum's; where that is not known, minus that of the whole search. It
should be below 2 thousandths of a nat, or below the standard error of the losses if that is larger.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.landscapes import LANDSCAPES
from benchmarks.search.methods import DEFAULTS, first_patterns
from benchmarks.search.stagnation import KINDS, rugged
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.heuristics import Task
from evop_deap.surrogate.prospect import LEAST_TOLERANCE
from evop_deap.tuning.problems import landscape_problem

GENERATIONS = 60
CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.99)
IN_A_ROW = 2
_KEPT = {"min", "cost"}  # of every row of a history that is read

Row = Mapping[str, Any]
"""A row of a search's logbook."""

Rule = Callable[[Sequence[Row]], bool]
"""Whether a search ends after these generations."""


@dataclass(frozen=True)
class Course:
    """A search of 60 generations.

    Attributes:
        source: name of the landscape or the run.
        rows: its logbook.
        optimum: lowest loss that is known.
    """

    source: str
    rows: Sequence[Row]
    optimum: float


def sure(confidence: float, in_a_row: int = IN_A_ROW) -> Rule:
    """End when the surrogate is so sure in so many generations in a row."""

    def rule(rows: Sequence[Row]) -> bool:
        last = [row for row in rows[-in_a_row:] if row.get("trusted")]
        return len(last) == in_a_row and all(row["chance"] <= 1 - confidence for row in last)

    return rule


def patient(generations: int) -> Rule:
    """End after so many generations without a better pattern."""
    return lambda rows: len(rows) > generations and rows[-1]["min"] == rows[-1 - generations]["min"]


RULES: Mapping[str, Rule] = {
    **{f"{confidence:g} sure, twice in a row": sure(confidence) for confidence in CONFIDENCES},
    "0.95 sure, once": sure(0.95, 1),
    "0.95 sure, three times": sure(0.95, 3),
    **{f"nothing better in {count} generations": patient(count) for count in (3, 5, 10, 20)},
}


def on_landscape(path: Path, seed: int) -> Course:
    """Search a landscape file as the command searches a model."""
    problem = landscape_problem(path)
    space, evaluator, rng = problem.space, CachedEvaluator(problem.fitness), random.Random(seed)
    if problem.knows_dense:
        evaluator.evaluate([space.dense])
    init = DEFAULTS.init if problem.scores else ()
    seeds = first_patterns(Task(space, evaluator, rng, scores=problem.scores), init)
    search = assemble(space, evaluator, rng, DEFAULTS.evolution, begin=lambda: seeds)
    state = search.run(Stopping(generations=GENERATIONS))
    return Course(path.stem, state.records, problem.best)


def on_synthetic(kind: str, seed: int) -> Course:
    """Search a large synthetic landscape, whose optimum is not known."""
    space, rough = rugged(kind, seed)
    evaluator, rng = CachedEvaluator(rough), random.Random(seed)
    evaluator.evaluate([space.dense])
    search = assemble(space, evaluator, rng, DEFAULTS.evolution)
    records = search.run(Stopping(generations=GENERATIONS)).records
    return Course(f"synthetic, {kind}", records, records[-1]["min"])


def recorded(folder: Path) -> Course:
    """Read the course of a run."""
    path = folder / "history.jsonl"
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"`run` {folder} has no history.jsonl to read: {error}") from error
    if len(rows) <= GENERATIONS:
        raise InputError(
            f"`run` {folder} has {len(rows) - 1} generations: search {GENERATIONS} with "
            "--stop-when-sure off"
        )
    if not all(isinstance(row, dict) and row.keys() >= _KEPT for row in rows):
        raise InputError(
            f"`run` {folder} must have a history.jsonl of a search, whose rows have "
            f"{', '.join(sorted(_KEPT))}, but it has others"
        )
    return Course("demo model", rows, min(row["min"] for row in rows))


def ending(course: Course, rule: Rule) -> dict[str, Any] | None:
    """Return when a rule ends a search, and what that costs and loses; None if it never does."""
    rows = course.rows
    for count in range(1, len(rows)):
        if rule(rows[:count]):
            row = rows[count - 1]
            return {
                "generation": count - 1,
                "cost": row["cost"] / rows[-1]["cost"],
                "regret": row["min"] - course.optimum,
                "bound": max(LEAST_TOLERANCE, row.get("tolerance", 0.0)),
            }
    return None


def measure(courses: Iterator[Course]) -> list[dict[str, Any]]:
    """Apply every rule to every search."""
    return [
        {
            "source": course.source,
            "endings": {name: ending(course, rule) for name, rule in RULES.items()},
        }
        for course in courses
    ]


def figures(endings: Sequence[dict[str, Any] | None]) -> list[str]:
    """Return the cells of a table: searches ended, calibration and cost."""
    ended = [one for one in endings if one is not None]
    if not ended:
        return ["0%", "-", "-", "1.00"]
    within = [one["regret"] <= one["bound"] for one in ended]
    tiny = [one["regret"] <= LEAST_TOLERANCE for one in ended]
    costs = [1.0 if one is None else one["cost"] for one in endings]
    shares = (len(ended) / len(endings), statistics.fmean(within), statistics.fmean(tiny))
    return [*(f"{share:.1%}" for share in shares), f"{statistics.median(costs):.2f}"]


def table(runs: Sequence[dict[str, Any]], default: str) -> str:
    """A row for each rule, and for the default rule one for each source."""
    head = ["", "searches ended", "regret within bound", "below 2 mnat", "median cost"]
    rules = [[rule, *figures([run["endings"][rule] for run in runs])] for rule in RULES]
    sources = dict.fromkeys(run["source"] for run in runs)
    apart = [
        [name, *figures([run["endings"][default] for run in runs if run["source"] == name])]
        for name in sources
    ]
    both = (markdown_table([top, *head[1:]], rows) for top, rows in (("rule", rules), ("", apart)))
    return "\n\n".join(both)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, search, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--landscape", type=Path, nargs="*", default=sorted(LANDSCAPES.glob("*.npz"))
    )
    parser.add_argument("--run", type=Path, nargs="*", default=[])
    parser.add_argument("--seeds", type=count_flag, default=30)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    if not (given.landscape or given.run):
        raise InputError("`landscape` and `run` name nothing: give a file or a folder of one")

    def courses() -> Iterator[Course]:
        yield from map(recorded, given.run)
        for seed in range(given.seeds):
            yield from (on_landscape(path, seed) for path in given.landscape)
            if given.landscape:
                yield from (on_synthetic(kind, seed) for kind in KINDS)

    report = {**circumstances(), "seeds": given.seeds, "runs": measure(courses())}
    print(table(report["runs"], f"{DEFAULTS.stop_when_sure:g} sure, twice in a row"))
    if given.json:
        write_json(given.json, report)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
