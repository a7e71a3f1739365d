"""The folder of a run: its files, its lock and its history."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evop_deap.base.data_files import parse_json
from evop_deap.base.errors import InputError
from evop_deap.base.files import (
    check_writable,
    exclusive,
    is_leftover,
    names_in_output,
    remove_leftovers,
    reporting_write_errors,
    write_text,
)
from evop_deap.settings.config_files import read_settings

_BUDGET = "sparsity-"


@dataclass(frozen=True)
class RunFolder:
    """Paths of the files in a run's folder.

    Example:
        >>> RunFolder(Path("runs/demo")).result.as_posix()
        'runs/demo/result.json'
    """

    path: Path

    @property
    def config(self) -> Path:
        """The effective settings, for `--config`."""
        return self.path / "config.yaml"

    @property
    def history(self) -> Path:
        """One JSON object for each generation."""
        return self.path / "history.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The state to resume from, rewritten each generation."""
        return self.path / "checkpoint.json"

    @property
    def calibration(self) -> Path:
        """The documents and windows used, with hashes."""
        return self.path / "calibration.json"

    @property
    def result(self) -> Path:
        """The result; it is written last."""
        return self.path / "result.json"

    @property
    def model(self) -> Path:
        """The pruned checkpoint."""
        return self.path / "model"

    @property
    def drop_config(self) -> Path:
        """The pattern in EvoPress's format."""
        return self.path / "layer_drop_config.txt"

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.path / "report.html"

    @property
    def tracking(self) -> Path:
        """Files of the tracker, if one is used."""
        return self.path / "tracking"

    @property
    def mergekit(self) -> Path:
        """The pattern as a mergekit passthrough recipe."""
        return self.path / "mergekit.yaml"

    @property
    def curve(self) -> Path:
        """The results of several budgets; it is written last."""
        return self.path / "curve.json"

    @property
    def front(self) -> Path:
        """The Pareto front: patterns that no other beats in both loss and size."""
        return self.path / "front.json"

    @property
    def latency(self) -> Path:
        """Milliseconds of each unit, measured once, if the search trades latency for loss."""
        return self.path / "latency.json"

    def budget(self, sparsity: float) -> RunFolder:
        """Return the folder of one budget of several; it has the layout of a run's folder."""
        return RunFolder(self.path / f"{_BUDGET}{sparsity:g}")

    @property
    def budgets(self) -> tuple[RunFolder, ...]:
        """Folders of the existing budgets, from the smallest; empty for a single budget."""
        found = [RunFolder(path) for path in self.path.glob(f"{_BUDGET}*") if path.is_dir()]
        runs = [folder for folder in found if folder._is_run()]
        return tuple(sorted(runs, key=lambda folder: _share(folder.path.name)))

    @property
    def is_several(self) -> bool:
        """Whether the run is over several budgets."""
        try:
            return isinstance(read_settings(self.config).get("sparsity"), list)
        except InputError:
            return False

    @property
    def _is_point(self) -> bool:
        """Whether the run is a point of a front, whose search is in the folder above."""
        try:
            settings, above = (
                read_settings(folder.config) for folder in (self, RunFolder(self.path / ".."))
            )
        except InputError:
            return False
        fronts = [one.get("pareto", "none") != "none" for one in (settings, above)]
        return all(fronts) and self.path.resolve().name.startswith(_BUDGET)

    @property
    def own(self) -> tuple[Path, ...]:
        """All paths that a run may write, its settings first."""
        files = (self.config, self.history, self.checkpoint, self.calibration, self.result)
        patterns = (self.drop_config, self.mergekit)
        fronts = (self.latency, self.curve, self.front)
        return (*files, *fronts, *patterns, self.report, self.tracking, self.model)

    def check_usable(self, *, resume: bool, overwrite: bool, several: bool = False) -> None:
        """Refuse a folder that cannot be used; write nothing.

        Raises:
            InputError: the folder holds files and neither flag is given, both flags are given,
                it holds anything but a run, or a run over `several` budgets would resume one
                over a single budget or the other way round.
            OutputError: the folder cannot be written.
        """
        if resume and overwrite:
            raise InputError("`resume` and `overwrite` exclude each other: choose one")
        holds = names_in_output(self.path)
        if holds and not resume and not overwrite:
            flags = ", or add --resume or --overwrite" if self._is_run() else ""
            raise InputError(
                f"`output` {self.path} already holds {holds[0]}: choose another folder{flags}"
            )
        if holds and not self._is_run():
            raise InputError(
                f"`output` {self.path} is not the folder of a run (no config.yaml of one), "
                f"so --{'resume' if resume else 'overwrite'} leaves it alone: choose another folder"
            )
        if resume and self._is_point:
            front = self.path.parent if self.path.name else self.path.resolve().parent
            raise InputError(
                f"`resume`: {self.path} is a point of the front in {front}: resume that"
            )
        if resume and self.config.is_file() and self.is_several != several:
            here, wanted = ("several", "one") if self.is_several else ("one", "several")
            raise InputError(
                f"`resume`: the run in {self.path} is over {here} of `sparsity`, but got {wanted}: "
                "go on with the same, or choose another folder"
            )
        check_writable(self.path)

    @property
    def has_settings(self) -> bool:
        """Whether the folder holds the settings of a run, and not another `config.yaml`."""
        return self.config.is_file() and self._is_run()

    def _is_run(self) -> bool:
        """Return whether the folder holds a run's settings, or only leftovers of a run."""
        try:
            return {"model", "sparsity"} <= read_settings(self.config).keys()
        except InputError:
            names = [path.name for path in self.own]
            left = (self.path / name for name in names_in_output(self.path))
            return all(is_leftover(path, names) for path in left)

    @classmethod
    @contextmanager
    def opened(
        cls, output: str | Path, *, resume: bool, overwrite: bool, several: bool = False
    ) -> Iterator[RunFolder]:
        """Check a folder, and lock it until the body ends.

        Raises:
            InputError: as `check_usable` and `exclusive` raise it.
            OutputError: the folder cannot be written.
        """
        folder = cls(Path(output))
        check = partial(folder.check_usable, resume=resume, overwrite=overwrite, several=several)
        check()
        with folder.exclusive():
            check()  # another process may have finished a run here in between
            yield folder

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Lock this folder against searches of other processes until the body ends.

        Temporary files of killed processes are deleted.

        Raises:
            InputError: another process holds the lock.
            OutputError: the folder cannot be written.
        """
        with exclusive(self.path, [path.name for path in self.own]):
            if self.model.is_dir():
                remove_leftovers(self.model, ["README.md"])
            yield

    def clear(self) -> None:
        """Remove the files of an earlier run, its result first and its settings last."""
        if not self.path.exists():
            return
        with reporting_write_errors(self.path):
            self.curve.unlink(missing_ok=True)
            for budget in self.budgets:
                with budget.exclusive():
                    budget.clear()
                if not any(budget.path.iterdir()):
                    budget.path.rmdir()
            for path in reversed(self.own):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def append_history(self, row: Mapping[str, Any]) -> None:
        """Append the row of a generation to the history."""
        with reporting_write_errors(self.history), self.history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def cut_history(self, generation: int) -> None:
        """Remove rows after `generation`, which a killed process wrote after its checkpoint."""
        if not self.history.exists():
            return
        kept = []
        with reporting_write_errors(self.history):
            text = self.history.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            try:
                row = parse_json(line)
            except InputError:
                continue  # a line cut off when the process was killed
            place = row.get("gen") if isinstance(row, dict) else None
            if type(place) is int and place <= generation:
                kept.append(line)
        write_text(self.history, "".join(f"{line}\n" for line in kept))


def _share(name: str) -> float:
    try:
        return float(name.removeprefix(_BUDGET))
    except ValueError:
        return math.inf
