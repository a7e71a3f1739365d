"""The runs of another folder, whose patterns a board evaluates anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.board.making.cells import Cell
from benchmarks.board.making.protocol import method_settings
from benchmarks.board.making.run_files import Run, check_protocol, path_of, read_run
from evop_deap.base.errors import InputError

_CIRCUMSTANCES = ("versions", "machine", "commit", "date")


@dataclass(frozen=True)
class EarlierRuns:
    """The runs of some cells in another folder. They are read once: another process may add some.

    Attributes:
        folder: the folder.
        runs: the runs by the name of their cell, without cells that are not there.
    """

    folder: Path
    runs: Mapping[str, Run]

    @classmethod
    def read(cls, folder: Path, cells: Sequence[Cell], protocol: Mapping[str, Any]) -> EarlierRuns:
        """Read the runs of these cells.

        Raises:
            InputError: a file is not a run, or a setting that decides what a method finds differs.
        """
        paths = {cell.name: path_of(folder, cell.name) for cell in cells}
        runs = {name: read_run(path) for name, path in paths.items() if path.exists()}
        earlier = [{**run, "protocol": method_settings(run["protocol"])} for run in runs.values()]
        check_protocol(earlier, method_settings(protocol), "patterns_from")
        return cls(folder, runs)

    def of(self, cell: Cell) -> Run:
        """Return what the method of a cell has found, and when.

        Raises:
            InputError: the cell is not there, or no pattern describes what is left.
        """
        if cell.name not in self.runs:
            raise InputError(f"`patterns_from` {self.folder} has no {cell.name}.json")
        run = self.runs[cell.name]
        if not _is_pattern(run):
            raise InputError(
                f"`patterns_from` {self.folder} has changed weights in {cell.name}.json, which no "
                "pattern describes"
            )
        # What was taken over before keeps its first circumstances.
        made = run.get("found_at") or {name: run[name] for name in _CIRCUMSTANCES if name in run}
        return {"found": run["found"], "found_at": made}

    @property
    def patterns(self) -> list[tuple[str, Sequence[str]]]:
        """Granularity and dropped units of each run that a pattern describes."""
        return [
            (run["cell"]["granularity"], run["found"]["dropped"])
            for run in self.runs.values()
            if _is_pattern(run)
        ]


def _is_pattern(run: Run) -> bool:
    return not (run["found"]["merged"] or run["found"].get("compensated"))
