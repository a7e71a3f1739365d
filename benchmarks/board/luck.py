r"""The spread of held-out loss over search seeds, draws and sizes of the calibration text.

    python -m benchmarks.board.luck --corpus mixed.jsonl --heldout mixed.jsonl --draws 5 \
        --sizes 1024 2048 4096 8192 16384 --seeds 2 --output runs/luck
    python -m benchmarks.board.luck --table --output runs/luck

For every draw of the calibration text and every number of its tokens, `--output` has a folder with
a board: a file for each method and seed. All boards have the same exam: documents that no draw can
take. A larger calibration text of a draw begins with the smaller ones. Running the command again
makes the missing cells, also with more draws, sizes, seeds or methods, and several processes with
the same command share the work. All other flags are the board's own.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.board.making.filled import filled
from benchmarks.board.making.options import check_one_cell, parsed
from benchmarks.board.making.run_files import Run, read_runs
from benchmarks.board.making.shared_evaluations import Beside
from benchmarks.board.tables.luck_tables import luck_tables
from benchmarks.common.count_flag import count_flag
from evop_deap.settings.heuristic_names import SEARCH

DEFAULTS = {
    "sparsity": [0.2],
    "granularity": ["block"],
    "methods": [
        SEARCH, "evopress", "sleb", "angular", "block-influence", "relative-magnitude",
        "leave-one-out",
    ],
    "seeds": 1,
    "exam_share": 0.25,
    "equal_cost": True,
    "heldout_tokens": 2048,
    "output": Path("runs/luck"),
}  # fmt: skip

_BOARD = re.compile(r"\d+-\d+")

WITHOUT = ("--quick", "--tokens", "--calibration-seed", "--patterns-from")


def fill_boards(given: argparse.Namespace) -> int:
    """Make the missing cells of all boards; return how many failed.

    Raises:
        EvopError: an argument, the model or a text cannot be used.
    """
    from benchmarks.board.making.missing_cells import fill, load  # imports PyTorch

    check_one_cell(given)
    loaded, failed = load(given), 0
    for draw in range(given.draws):
        for size in given.sizes:
            folder = given.output / f"{size}-{draw}"
            print(f"{size:,} tokens, draw {draw}", file=sys.stderr, flush=True)
            board = {**vars(given), "tokens": size, "calibration_seed": draw, "output": folder}
            others = [path for path in _boards(given.output) if path != folder]
            failed += len(fill(argparse.Namespace(**board), loaded, Beside(others)))
    return failed


def runs_of(output: Path) -> list[Run]:
    """Read all finished runs of all boards in a folder.

    Raises:
        InputError: a file is not a run.
    """
    return [run for folder in _boards(output) for run in read_runs(folder)]


def _boards(output: Path) -> list[Path]:
    """The folders of the boards, each named by its number of tokens and its draw."""
    return sorted(path for path in output.glob("*-*") if _BOARD.fullmatch(path.name))


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that the board does not have."""
    add = parser.add_argument_group("luck").add_argument
    add("--table", action="store_true", help="only print the tables of the cells that are there")
    add(
        "--draws",
        type=count_flag,
        default=5,
        metavar="N",
        help="of the text (default: %(default)s)",
    )
    add(
        "--sizes",
        type=count_flag,
        nargs="+",
        default=[1024, 2048, 4096, 8192, 16384],
        metavar="N",
        help="tokens of the calibration text, which take the place of --tokens",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, make what is missing and print the tables; returns the exit code."""
    name = "benchmarks.board.luck"
    given = parsed(
        arguments, __doc__, prog=name, defaults=DEFAULTS, add_flags=add_flags, without=WITHOUT
    )
    fill = None if given.table else partial(fill_boards, given)
    return filled(fill, lambda: luck_tables(runs_of(given.output)))


if __name__ == "__main__":
    sys.exit(main())
