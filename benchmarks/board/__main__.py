r"""Every heuristic and the search under one protocol: one calibration set, one evaluation.

    python -m benchmarks.board --quick
    python -m benchmarks.board --corpus mixed.jsonl wiki.train.txt --wiki-test wiki.test.raw \
        --heldout mixed.jsonl --tasks-from tasks/ --output runs/board
    python -m benchmarks.board ... --granularity half --sparsity 0.2 --methods search sleb

Each finished cell (method, budget, granularity, seed) is a file of the folder. Running the command
again makes the missing cells, and several processes with the same command share the work.
`benchmarks.board.table` prints the tables of a folder and draws its picture.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from benchmarks.board.making.filled import filled
from benchmarks.board.making.options import parsed
from benchmarks.board.making.run_files import read_runs
from benchmarks.board.tables.board_tables import board_tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, make what is missing and print the tables; returns the exit code."""
    given = parsed(arguments, description=__doc__)
    from benchmarks.board.making.missing_cells import (
        fill,  # imports PyTorch, which --help does without
    )

    return filled(partial(fill, given), lambda: board_tables(read_runs(given.output)))


if __name__ == "__main__":
    sys.exit(main())
