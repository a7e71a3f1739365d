"""What batches and asynchronous workers cost in evaluations and gain in time, by simulation.

    OMP_NUM_THREADS=1 python -m benchmarks.distributed.workers --json out.json

A landscape is searched until the optimum is evaluated, with batches of 1, 4, 16 and 64 patterns,
and asynchronously: each worker then evaluates one pattern, and gets the next one at once. Up to
256 workers take simulated time: work by the code that splits generations, times the durations of
tasks that `benchmarks.distributed.speedup` recorded. The seconds of the driver are those of this
process. A second table has single generations, without a search.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.distributed.simulated_search import (
    Durations,
    Request,
    asynchronous,
    requests_until_found,
    seconds_of_requests,
)
from benchmarks.evaluator.speed import children_of
from benchmarks.landscapes import DEMO_LANDSCAPE
from benchmarks.search.quality import opened
from evop_deap.base.data_files import read_json
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.base.typed import typed
from evop_deap.evolution.operators import init_uniform

WORKERS = (1, 4, 16, 64, 256)
BATCHES = (1, 4, 16, 64)
GROUPS = (8, 64, 256)
RESULTS = Path(__file__).parent / "results"
RECORDED = RESULTS / "speedup.demo.json"
ASYNCHRONOUS = "asynchronous"


@dataclass(frozen=True)
class _Recorded:
    """A measurement of `benchmarks.distributed.speedup`.

    Attributes:
        tasks: of each task, its seconds and its executed cost.
        seconds: by number of workers, the seconds of each generation.
        busy: by number of workers, the seconds of a generation that workers worked.
    """

    tasks: tuple[tuple[float, float], ...]
    seconds: Mapping[str, tuple[float, ...]]
    busy: Mapping[str, tuple[float, ...]]


def durations_of(path: Path, dense: float | None) -> Durations:
    """Return the durations that a measurement recorded, with other seconds of a dense pass.

    Raises:
        InputError: it cannot be read, or is no such measurement; or the seconds are none.
    """
    if dense is not None and not 0 < dense < math.inf:
        raise InputError(f"`dense_seconds` must be above 0, but got {dense:g}")
    content = read_json(path, f"`recorded` {path}")
    try:
        recorded = typed(_Recorded, content)
        alone = list(zip(recorded.seconds["1"], recorded.busy["1"], strict=True))
        rates = [seconds / executed for seconds, executed in recorded.tasks]
        mean = statistics.fmean(rates)
    except (InputError, ArithmeticError, KeyError, ValueError) as error:
        raise InputError(
            f"`recorded` {path} is no measurement of benchmarks.distributed.speedup: {error}"
        ) from error
    tasks = len(rates) / sum(map(len, recorded.seconds.values()))
    idle = statistics.median((took - worked) / tasks for took, worked in alone)
    return Durations(dense or mean, max(0.0, idle), tuple(rate / mean for rate in rates))


def searches(path: Path, seeds: int, most: int, durations: Durations, groups: int) -> list[Any]:
    """Return a row for each batch and number of workers: evaluations, seconds and use."""
    rows = []
    for batch in BATCHES:
        runs = [requests_until_found(path, batch, seed, most) for seed in range(seeds)]
        for workers in WORKERS:
            found = [
                seconds_of_requests(path, requests, workers, durations, groups)
                for requests, _ in runs
            ]
            counts = [count for _, count in runs]
            rows.append(_row(str(batch), workers, counts, found))
    for workers in WORKERS:
        ended = [asynchronous(path, workers, seed, most, durations) for seed in range(seeds)]
        counts = [count for _, _, count in ended]
        found = [(clock, busy) for clock, busy, _ in ended]
        rows.append(_row(ASYNCHRONOUS, workers, counts, found))
    return rows


def _row(
    batch: str, workers: int, counts: Sequence[int], found: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    clocks, busy = zip(*found, strict=True)
    return {
        "batch": batch,
        "workers": workers,
        "evaluations": statistics.fmean(counts),
        "seconds": statistics.fmean(clocks),
        "used": sum(busy) / (workers * sum(clocks)),
    }


def generations(path: Path, durations: Durations) -> list[dict[str, Any]]:
    """Return a row for each size of a generation: its speed-up over one worker."""
    space, rng = opened(path)[1].space, random.Random(0)
    elite = init_uniform(space, rng=rng)
    windows = len(opened(path)[0].tokens)
    rows = []
    for groups in GROUPS:
        for count in BATCHES[1:]:
            asked = [Request(0.0, tuple(children_of(elite, count, space, rng)), windows)]
            took = {
                workers: seconds_of_requests(path, asked, workers, durations, groups)[0]
                for workers in WORKERS
            }
            ratios = {workers: took[1] / seconds for workers, seconds in took.items()}
            rows.append({"groups": groups, "patterns": count, "speedup": ratios})
    return rows


def tables(report: dict[str, Any]) -> str:
    """Format a report as Markdown."""
    rows = report["searches"]
    (alone,) = (row for row in rows if row["batch"] == "1" and row["workers"] == 1)
    by_batch = [
        [
            batch,
            *(
                f"{row['evaluations']:.0f}, {alone['seconds'] / row['seconds']:.1f}"
                for row in rows
                if row["batch"] == batch
            ),
        ]
        for batch in (*map(str, BATCHES), ASYNCHRONOUS)
    ]
    singles = [
        [f"{row['patterns']} on {row['groups']}"]
        + [f"{ratio:.1f}" for ratio in row["speedup"].values()]
        for row in report["generations"]
    ]
    head = [f"{workers} workers" for workers in WORKERS]
    return "\n\n".join(
        (
            "Evaluations until the optimum, and times as soon as one worker with batches of 1:",
            markdown_table(["batch", *head], by_batch),
            "Speed-up of one generation, by patterns and groups of windows:",
            markdown_table(["generation", *head], singles),
        )
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--landscape", type=Path, default=DEMO_LANDSCAPE, metavar="FILE")
    parser.add_argument("--recorded", type=Path, default=RECORDED, metavar="FILE")
    parser.add_argument(
        "--dense-seconds", type=float, metavar="S", help="of a dense pass (default: as recorded)"
    )
    parser.add_argument("--groups", type=count_flag, default=64, metavar="N", help="of windows")
    parser.add_argument("--seeds", type=count_flag, default=10, metavar="N")
    parser.add_argument("--most", type=count_flag, default=600, metavar="N", help="evaluations")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    given = parser.parse_args(arguments)
    with errors_in_one_line():
        durations = durations_of(given.recorded, given.dense_seconds)
        found = searches(given.landscape, given.seeds, given.most, durations, given.groups)
        report = {
            **circumstances(),
            "landscape": given.landscape.name,
            "dense_seconds": durations.dense,
            "task_seconds": durations.task,
            "groups": given.groups,
            "seeds": given.seeds,
            "searches": found,
            "generations": generations(given.landscape, durations),
        }
    if given.json:
        write_json(given.json, report)
    sys.stdout.write(tables(report) + "\n")


if __name__ == "__main__":
    main()
