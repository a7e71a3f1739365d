"""Time of a generation on one worker and on two, each with one thread.

    OMP_NUM_THREADS=1 python -m benchmarks.distributed.speedup --json out.json

Two pools of workers, of one and of two, evaluate the same generations in turns. A generation is
32 children of one pattern, as in a search, and new in each round. The overhead of the driver is the
time of a generation on one worker in which that worker did nothing. The seconds of each task are
written as well; `benchmarks.distributed.workers` draws its durations from them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.evaluator.speed import children_of, seconds_of
from evop_deap.base.files import write_json
from evop_deap.distributed.cluster import open_cluster
from evop_deap.distributed.pool import WorkerPool
from evop_deap.distributed.share import Share
from evop_deap.distributed.spread_evaluator import SpreadEvaluator
from evop_deap.distributed.worker import Made
from evop_deap.evolution.operators import init_uniform
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.stages.prepare import prepare
from evop_deap.runs.worker_setup import SearchSetup, facts_of
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import Pattern

PATTERNS = 32


@dataclass(frozen=True)
class Timed:
    """Writes a line for each task: its seconds, and its executed cost."""

    evaluator: Evaluator
    folder: Path

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index."""
        began = time.perf_counter()
        found = self.evaluator.evaluate(patterns, windows)
        line = json.dumps([time.perf_counter() - began, found.work.executed])
        with (self.folder / str(os.getpid())).open("a") as log:
            log.write(line + "\n")
        return found


def timed(setup: SearchSetup, folder: Path) -> Made:
    """Make a worker whose tasks are timed."""
    made = setup()
    return Made(Timed(made.evaluator, folder), made.facts, made.prepared)


def measure(prepared: Prepared, rounds: int) -> dict[str, Any]:
    """Time generations on one worker and on two; return the content of the JSON file."""
    config, share, rng = prepared.config, Share(cpus=1), random.Random(0)
    config = config.replace(weights="resident")
    options: dict[str, Any] = {
        "rng": random.Random(0),
        "memory_budget": config.memory_budget * 2**20,
    }
    options |= {"windows_at_once": prepared.together}
    tokens = prepared.text.calibration.tokens
    local = prepared.evaluators.fast(tokens, prepared.space, **options)
    options |= {"rng": random.Random(0)}
    setup = SearchSetup(config, prepared.space, tokens, options, None, 0, threads=1)
    facts = facts_of(prepared.loaded.model, prepared.fingerprint, local)
    work = [unit.work for unit in model_units(prepared.anatomy)]
    times: dict[int, list[float]] = {1: [], 2: []}
    busy: dict[int, list[float]] = {1: [], 2: []}
    tasks: list[list[float]] = []
    with tempfile.TemporaryDirectory() as root, open_cluster("3", share), ExitStack() as stack:
        spread = {}
        for count in times:
            folder = Path(root) / str(count)
            folder.mkdir()
            pool = WorkerPool(partial(timed, setup, folder), facts, share, most=count)
            head = prepared.anatomy.head_work
            ready = stack.enter_context(pool)
            spread[count] = SpreadEvaluator(local, ready, work=work, head_work=head)
        elite = init_uniform(prepared.space, rng=rng)
        for turn in range(rounds + 1):
            patterns = children_of(elite, PATTERNS, prepared.space, rng)
            for count in times:
                for log in (Path(root) / str(count)).iterdir():
                    log.unlink()
                seconds = seconds_of(partial(spread[count].evaluate, patterns))
                if turn:  # the first one warms up
                    logs = [_lines(log) for log in (Path(root) / str(count)).iterdir()]
                    times[count].append(seconds)
                    busy[count].append(sum(took for log in logs for took, _ in log))
                    tasks += [line for log in logs for line in log]
    one, two = (statistics.median(times[count]) for count in (1, 2))
    idle = [1 - worked / took for worked, took in zip(busy[1], times[1], strict=True)]
    return {
        **circumstances(),
        "model": config.model,
        "windows": list(tokens.shape),
        "patterns": PATTERNS,
        "seconds": times,
        "busy": busy,
        "speedup": one / two,
        "overhead": statistics.median(idle),
        "tasks": tasks,
        "load": os.getloadavg()[0],
    }


def _lines(log: Path) -> list[list[float]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--model", default="demo", metavar="MODEL", help="as of a search")
    parser.add_argument("--corpus", default="demo", metavar="TEXT", help="as of a search")
    parser.add_argument(
        "--tokens", type=count_flag, default=2048, metavar="N", help="as of a search"
    )
    parser.add_argument(
        "--rounds", type=count_flag, default=5, metavar="N", help="generations timed"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    given = parser.parse_args(arguments)
    with errors_in_one_line():
        config = SearchConfig(
            model=given.model,
            corpus=given.corpus,
            tokens=given.tokens,
            sparsity=(0.2,),
            compensate="off",
        )
        report = measure(prepare(config, Progress()), given.rounds)
    if given.json:
        write_json(given.json, report)
    medians = {count: statistics.median(took) for count, took in report["seconds"].items()}
    rows = [
        [str(count), f"{took:.2f}", f"{medians[1] / took:.2f}"] for count, took in medians.items()
    ]
    table = markdown_table(["workers", "seconds", "times as fast"], rows)
    sys.stdout.write(f"{table}\n\noverhead of the driver: {report['overhead']:.1%}\n")


if __name__ == "__main__":
    main()
