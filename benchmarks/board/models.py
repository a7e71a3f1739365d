r"""The board's cells for a list of models, with the same corpus, budgets and exam.

    python -m benchmarks.board.models --models demo demo-qwen-0.5b --corpus mixed.jsonl \
        --heldout mixed.jsonl --tasks-from tasks/ --output runs/models
    python -m benchmarks.board.models --models demo-qwen-1.5b --dtype bfloat16 --seeds 1 \
        --granularity block --corpus mixed.jsonl --heldout mixed.jsonl --output runs/models
    python -m benchmarks.board.models --table --output runs/models

For every model, `--output` has a folder with a board: a file for each method, budget and seed.
Running the command again makes the missing cells, also with more models, budgets, seeds or methods,
and several processes with the same command share the work. All other flags are the board's own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.board.making.filled import filled
from benchmarks.board.making.options import parsed
from benchmarks.board.making.run_files import Run, read_runs
from benchmarks.board.tables.models_tables import models_tables
from evop_deap.base.errors import InputError
from evop_deap.heuristics.registry import METHODS
from evop_deap.settings.heuristic_names import SEARCH

DEFAULTS = {
    "sparsity": [0.2],
    "methods": [SEARCH, "evopress", "sleb", *(name for name in METHODS if METHODS[name].cheap)],
    "seeds": 3,
    "exam_share": 0.25,
    "equal_cost": True,
    "heldout_tokens": 2048,
    "output": Path("runs/models"),
}

WITHOUT = ("--quick", "--model")


def folder_of(output: Path, model: str) -> Path:
    """Return the folder of a model's board; a model's own folder counts by its last part."""
    path = Path(model).expanduser()
    return output / (path.resolve().name if path.exists() else model.replace("/", "--"))


def folders_of(output: Path, models: Sequence[str]) -> list[Path]:
    """Return the folder of each model's board.

    Raises:
        InputError: two models would share one.
    """
    folders = [folder_of(output, model) for model in models]
    if len(set(folders)) < len(folders):
        raise InputError(f"`models` {' '.join(models)} would share a folder: rename one")
    return folders


def fill_boards(given: argparse.Namespace) -> int:
    """Make the missing cells of all models; return how many failed.

    Raises:
        EvopError: an argument, a model or a text cannot be used.
    """
    from benchmarks.board.making.missing_cells import fill  # imports PyTorch

    failed = 0
    for model, folder in zip(given.models, folders_of(given.output, given.models), strict=True):
        board = {**vars(given), "model": model, "output": folder}
        if given.patterns_from is not None:
            board["patterns_from"] = folder_of(given.patterns_from, model)
        failed += len(fill(argparse.Namespace(**board)))
    return failed


def runs_by_model(output: Path) -> dict[str, list[Run]]:
    """Read all finished runs of all boards in a folder, by the name of their model.

    Raises:
        InputError: a file is not a run.
    """
    found: dict[str, list[Run]] = {}
    for folder in sorted(path for path in output.glob("*") if path.is_dir()):
        for run in read_runs(folder):
            found.setdefault(run["protocol"]["model"], []).append(run)
    return found


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that the board does not have."""
    add = parser.add_argument_group("models").add_argument
    add("--table", action="store_true", help="only print the tables of the cells that are there")
    add(
        "--models",
        nargs="+",
        default=["demo", "demo-qwen-0.5b"],
        metavar="NAME",
        help="as for evop_deap.search (default: demo demo-qwen-0.5b)",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, make what is missing and print the tables; returns the exit code."""
    name = "benchmarks.board.models"
    given = parsed(
        arguments, __doc__, prog=name, defaults=DEFAULTS, add_flags=add_flags, without=WITHOUT
    )
    fill = None if given.table else partial(fill_boards, given)
    return filled(fill, lambda: models_tables(runs_by_model(given.output)))


if __name__ == "__main__":
    sys.exit(main())
