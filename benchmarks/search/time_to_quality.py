"""Seconds from the start of the process until a target is reached, and until everything is done.

    python -m benchmarks.search.time_to_quality --calibration set/ --perplexity 110.07 \\
        --sparsity 0.2 --seeds 3 --output runs/timed --json out.json

Runs `python -m evop_deap.search` with its default settings on given windows, one seed after the
other, without stored losses. The times can be laid beside another program's log on the same
windows and the same machine: `python -m evop_deap.calibrate` draws a set of windows into a folder,
where their tokens lie in `windows.npz`. The pattern is compared as that program evaluates it: add
`--flags --compensate off` for one that does not compensate.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.runs.storage.loaded_run import load_run

GENERATION = re.compile(r"generation (\d+): (\d+) evaluations, best perplexity ([0-9.]+)")
SPENT = re.compile(r"(\w+) (\d+) s \(")
_SHOWN = 0.005  # perplexities on the terminal have two decimals


def timed(command: Sequence[str], perplexity: float) -> dict[str, Any]:
    """Run a search; return the seconds until a perplexity, the last generation, and the end.

    Raises:
        InputError: the search failed; the message is its last line.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    times: dict[str, Any] = {"first": None, "found": None, "searched": None, "stages": {}}
    last = ""
    for line in process.stderr:
        last, now = line.strip() or last, time.monotonic() - began
        if told := GENERATION.match(line):
            times["first"] = times["first"] or now
            times["searched"] = now
            if times["found"] is None and float(told[3]) <= perplexity + _SHOWN:
                times["found"] = now
        elif line.startswith("time spent"):
            times["stages"] = {name: float(took) for name, took in SPENT.findall(line)}
    if process.wait():
        raise InputError(f"the search failed: {last}")
    return {**times, "done": time.monotonic() - began}


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Time a run for each seed."""
    runs = []
    for seed in range(given.seeds):
        output = given.output / f"seed{seed}"
        places = ["--calibration", str(given.calibration)] if given.calibration else []
        command = [
            *(sys.executable, "-m", "evop_deap.search", "--model", given.model),
            *("--sparsity", str(given.sparsity), "--seed", str(seed), "--no-cache"),
            *("--output", str(output), "--overwrite", *places, *given.flags),
        ]
        times = timed(command, given.perplexity)
        result = load_run(output).result
        assert result is not None
        found = {
            "dropped": result.dropped,
            "evaluations": result.evaluations,
            "cost": result.cost,
            "heldout": dict(result.heldout.perplexity),
            "stopped": result.stopped,
            "dtype": result.dtype,
        }
        runs.append({"seed": seed, **times, **found})
        print(f"seed {seed}: {times}", file=sys.stderr, flush=True)
    return runs


def table(runs: Sequence[dict[str, Any]]) -> str:
    """A row for each seed, and the medians."""
    names = ("first", "found", "searched", "done")
    rows = [
        [str(run["seed"]), *(_seconds(run[name]) for name in names), " ".join(run["dropped"])]
        for run in runs
    ]
    known = {name: [run[name] for run in runs if run[name] is not None] for name in names}
    medians = [_seconds(statistics.median(known[name]) if known[name] else None) for name in names]
    head = ["seed", "first generation", "target reached", "search over", "all done", "without"]
    return markdown_table(head, [*rows, ["median", *medians, ""]])


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} s"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--calibration", type=Path, help="folder of a set; by default one is drawn")
    parser.add_argument("--sparsity", type=float, default=0.2)
    parser.add_argument("--perplexity", type=float, required=True, help="on calibration text")
    parser.add_argument("--seeds", type=count_flag, default=3)
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="of the search; last")
    given = parser.parse_args(arguments)
    runs = measure(given)
    print(table(runs))
    if given.json:
        settings = {n: v for n, v in vars(given).items() if n not in ("json", "output")}
        settings["calibration"] = given.calibration and given.calibration.name
        write_json(given.json, {**circumstances(), "settings": settings, "runs": runs})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
