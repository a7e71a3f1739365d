"""The tables of a board, from the files of its runs.

python -m benchmarks.board.table benchmarks/board/results/quick --png board.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.board.making.run_files import read_runs
from benchmarks.board.tables.board_tables import board_tables, cells_in
from benchmarks.common.record import errors_in_one_line


def main() -> None:
    """Parse, print the tables and draw the picture if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="folder written by benchmarks.board")
    parser.add_argument("--png", type=Path, help="file for the plot of perplexity against cost")
    given = parser.parse_args()
    runs = read_runs(given.folder)
    print(board_tables(runs))
    if given.png:
        from benchmarks.board.tables.picture import draw_board

        draw_board(cells_in(runs), given.png)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
