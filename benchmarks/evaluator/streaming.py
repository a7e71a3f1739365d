"""Streamed weights against weights in memory: memory, bytes read, waiting and time by population.

    python -m benchmarks.evaluator.streaming --model DIR --limit 2560 --json out.json --plot out.png

Every measurement is a process of its own, which is ended when its resident memory, mapped files
included, exceeds --limit MiB; the process with weights in memory has no limit. The search of
`--search` runs with both kinds of weights and must find the same; `--export` prunes the model and
checks the checkpoint within the limit. A large model without the memory for the comparison takes
--no-resident; benchmarks.evaluator.synthetic_checkpoint makes one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.count_flag import count_flag
from benchmarks.common.limited_process import Ended, run_limited
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.evaluator.streamed_generations import parser as shared_flags
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json

_MIB = 2**20


def generations(given: argparse.Namespace, weights: str, limit: int | None) -> dict[str, Any]:
    """Evaluate the generations in another process, and return what it measured."""
    flags = ("model", "dtype", "tokens", "window", "sparsity", "memory_budget", "seed")
    command = [*_python("benchmarks.evaluator.streamed_generations"), "--weights", weights]
    for name in flags:
        command += [f"--{name.replace('_', '-')}", str(getattr(given, name))]
    ended = _checked(run_limited([*command, "--populations", *map(str, given.populations)], limit))
    return {**json.loads(ended.output), "peak": ended.peak, "seconds": ended.seconds}


def searched(given: argparse.Namespace, weights: str, limit: int | None) -> dict[str, Any]:
    """Search with the command line, and return what it found and took."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *_python("evop_deap.search"), "--model", given.model, "--output", f"{folder}/run",
            "--weights", weights, "--compensate", "off", "--no-cache", "--quiet",
            "--dtype", given.dtype, "--device", "cpu", "--sparsity", str(given.sparsity),
            "--tokens", str(given.tokens), "--window", str(given.window),
            "--heldout-tokens", str(given.tokens), "--generations", str(given.search),
            "--memory-budget", str(given.memory_budget),
        ]  # fmt: skip
        ended = _checked(run_limited(command, limit))
        result = json.loads(Path(folder, "run", "result.json").read_text(encoding="utf-8"))
    found = {name: result[name] for name in ("dropped", "cost", "evaluations")}
    return {**found, "peak": ended.peak, "seconds": ended.seconds}


def exported(given: argparse.Namespace, limit: int | None) -> dict[str, Any]:
    """Prune the model with the command line, which reloads and compares the checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *_python("evop_deap.apply"), "--model", given.model, "--quiet", "--device", "cpu",
            "--pattern", given.export, "--output", f"{folder}/pruned",
        ]  # fmt: skip
        ended = _checked(run_limited(command, limit))
    return {"said": ended.output.strip(), "peak": ended.peak, "seconds": ended.seconds}


def compared(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each population, with streamed and resident figures side by side."""
    beside = {row["patterns"]: row for row in report.get("resident", {}).get("rows", ())}
    rows = []
    for row in report["streamed"]["rows"]:
        other = beside.get(row["patterns"])
        rows.append(
            {
                **row,
                "same_bits": None if other is None else row["sums"] == other["sums"],
                "times_resident": None if other is None else row["seconds"] / other["seconds"],
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A row for each population."""
    return markdown_table(
        ["patterns", "peak, MiB", "read, MiB", "waiting", "s a pattern", "/ resident", "same bits"],
        [
            [
                str(row["patterns"]),
                f"{row['peak'] / _MIB:,.0f}",
                f"{row['bytes_read'] / _MIB:,.0f}",
                f"{row['waited']:.0%}",
                f"{row['seconds'] / row['patterns']:.2f}",
                "" if row["times_resident"] is None else f"{row['times_resident']:.2f}",
                {None: "", True: "yes", False: "NO"}[row["same_bits"]],
            ]
            for row in rows
        ],
    )


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot memory, bytes read, waiting and time against the size of the population."""
    from matplotlib.figure import Figure

    sizes = [row["patterns"] for row in rows]
    panels = {
        "peak resident memory, MiB": [row["peak"] / _MIB for row in rows],
        "read for a generation, MiB": [row["bytes_read"] / _MIB for row in rows],
        "share of time waiting for the disk": [row["waited"] for row in rows],
        "time, of that in memory": [row["times_resident"] for row in rows],
    }
    figure = Figure(figsize=(12, 3), layout="constrained")
    for axis, (title, heights) in zip(figure.subplots(1, 4), panels.items(), strict=True):
        if None not in heights:
            axis.plot(sizes, heights, marker="o")
        axis.set_xscale("log", base=2)
        axis.set(xlabel="patterns in the population", ylabel=title, ylim=(0, None))
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    line = argparse.ArgumentParser(
        description=__doc__,
        parents=[shared_flags()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    line.add_argument("--limit", type=count_flag, metavar="MIB", help="most resident memory")
    line.add_argument("--no-resident", action="store_true", help="leave the comparison out")
    line.add_argument(
        "--search", type=count_flag, metavar="N", help="search for N generations, too"
    )
    line.add_argument("--export", metavar="LIST", help="blocks to drop from a checkpoint, too")
    line.add_argument("--json", type=Path, metavar="FILE")
    line.add_argument("--plot", type=Path, metavar="FILE")
    given = line.parse_args(arguments)
    limit = None if given.limit is None else given.limit * _MIB
    with errors_in_one_line():
        report: dict[str, Any] = {
            "model": given.model, "dtype": given.dtype, "tokens": given.tokens,
            "window": given.window, "limit": limit, **circumstances(),
            "streamed": generations(given, "streamed", limit),
        }  # fmt: skip
        if not given.no_resident:
            report["resident"] = generations(given, "resident", None)
        if given.search is not None:
            report["search"] = {"streamed": searched(given, "streamed", limit)}
            if not given.no_resident:
                report["search"]["resident"] = searched(given, "resident", None)
        if given.export is not None:
            report["export"] = exported(given, limit)
    rows = compared(report)
    print(table(rows))
    print(json.dumps({name: report[name] for name in ("search", "export") if name in report}))
    if given.json:
        write_json(given.json, report)
    if given.plot:
        plot(rows, given.plot)
    return 0


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _checked(ended: Ended) -> Ended:
    if ended.code:
        said = "its memory exceeded the limit" if ended.code < 0 else f"exit code {ended.code}"
        raise InputError(f"a process did not finish: {said}, at {ended.peak / _MIB:,.0f} MiB")
    return ended


if __name__ == "__main__":
    sys.exit(main())
