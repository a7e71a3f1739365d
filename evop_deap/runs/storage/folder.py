"""The folder of a run: what is in it, who may write there, and its history."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import (
    check_writable,
    is_leftover,
    names_in_output,
    remove_leftovers,
    reporting_write_errors,
    sha256_of_text,
    write_text,
)
from evop_deap.base.user_folders import cache_folder
from evop_deap.settings.config_files import read_settings

_BUDGET = "sparsity-"


@dataclass(frozen=True)
class RunFolder:
    """Names of the things in a run's folder.

    Example:
        >>> RunFolder(Path("runs/demo")).result.as_posix()
        'runs/demo/result.json'
    """

    path: Path

    @property
    def config(self) -> Path:
        """The effective settings, runnable again with `--config`."""
        return self.path / "config.yaml"

    @property
    def history(self) -> Path:
        """One JSON object a generation."""
        return self.path / "history.jsonl"

    @property
    def checkpoint(self) -> Path:
        """Everything needed to go on, rewritten each generation."""
        return self.path / "checkpoint.json"

    @property
    def calibration(self) -> Path:
        """Which documents and windows were used, with hashes."""
        return self.path / "calibration.json"

    @property
    def result(self) -> Path:
        """What was found; the last file to be written."""
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
        """What a tracker keeps on disk, where one was asked for."""
        return self.path / "tracking"

    @property
    def mergekit(self) -> Path:
        """The pattern as a mergekit passthrough recipe."""
        return self.path / "mergekit.yaml"

    @property
    def curve(self) -> Path:
        """What several budgets came to; the last file of a run over them."""
        return self.path / "curve.json"

    @property
    def front(self) -> Path:
        """All patterns that no other beats in loss and size."""
        return self.path / "front.json"

    @property
    def latency(self) -> Path:
        """How long each unit takes, where a search trades that for loss: measured once."""
        return self.path / "latency.json"

    def budget(self, sparsity: float) -> RunFolder:
        """Where a run over several budgets keeps one of them: a run's folder itself."""
        return RunFolder(self.path / f"{_BUDGET}{sparsity:g}")

    @property
    def budgets(self) -> tuple[RunFolder, ...]:
        """The budgets that are here, from the smallest; none of a run over a single one."""
        found = [RunFolder(path) for path in self.path.glob(f"{_BUDGET}*") if path.is_dir()]
        runs = [folder for folder in found if folder._is_run()]
        return tuple(sorted(runs, key=lambda folder: _share(folder.path.name)))

    @property
    def is_several(self) -> bool:
        """Whether the run here is one over several budgets."""
        try:
            return isinstance(read_settings(self.config).get("sparsity"), list)
        except InputError:
            return False

    @property
    def _own(self) -> tuple[Path, ...]:
        files = (self.config, self.history, self.checkpoint, self.calibration, self.result)
        patterns = (self.drop_config, self.mergekit)
        fronts = (self.latency, self.curve, self.front)
        return (*files, *fronts, *patterns, self.report, self.tracking, self.model)

    def check_usable(self, *, resume: bool, overwrite: bool, several: bool = False) -> None:
        """Refuse a place that cannot be written or that holds something; writes nothing.

        Raises:
            InputError: the folder exists and neither flag is given, both are, or it holds
                something that is not a run, or a run over `several` budgets where one over a
                single budget is to go on, or the other way round.
            OutputError: it cannot be written.
        """
        if resume and overwrite:
            raise InputError("`resume` and `overwrite` exclude each other: choose one")
        holds = names_in_output(self.path)
        if holds and not resume and not overwrite:
            raise InputError(
                f"`output` {self.path} already holds {holds[0]}: "
                "choose another folder, or add --resume or --overwrite"
            )
        if holds and not self._is_run():
            raise InputError(
                f"`output` {self.path} is not the folder of a run (no config.yaml of one), "
                f"so --{'resume' if resume else 'overwrite'} leaves it alone: choose another folder"
            )
        if resume and self.config.is_file() and self.is_several != several:
            here, wanted = ("several", "one") if self.is_several else ("one", "several")
            raise InputError(
                f"`resume`: the run in {self.path} is over {here} of `sparsity`, but got {wanted}: "
                "go on with the same, or choose another folder"
            )
        check_writable(self.path)

    def _is_run(self) -> bool:
        """Whether there are a run's settings, or nothing but what was left of writing them."""
        try:
            return {"model", "sparsity"} <= read_settings(self.config).keys()
        except InputError:
            names = [path.name for path in self._own]
            return all(is_leftover(path, names) for path in self.path.iterdir())

    def remove_leftovers(self) -> None:
        """Delete what a killed process left half-written here."""
        remove_leftovers(self.path, [path.name for path in self._own])

    @classmethod
    @contextmanager
    def opened(
        cls, output: str | Path, *, resume: bool, overwrite: bool, several: bool = False
    ) -> Iterator[RunFolder]:
        """A folder that can be used, and by no other process meanwhile.

        Raises:
            InputError: it cannot, as `check_usable` and `exclusive` say.
            OutputError: it cannot be written.
        """
        folder = cls(Path(output))
        folder.check_usable(resume=resume, overwrite=overwrite, several=several)
        with folder.exclusive():
            yield folder

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from running a search into this folder at the same time.

        Raises:
            InputError: one does.
        """
        from filelock import FileLock, Timeout

        name = sha256_of_text(str(self.path.resolve()))[:16]
        lock = cache_folder() / "locks" / f"{name}.lock"
        with reporting_write_errors(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=0):
                yield
        except Timeout as error:
            raise InputError(
                f"`output` {self.path} is being written by another search: wait for it, or "
                "choose another folder"
            ) from error

    def clear(self) -> None:
        """Remove an earlier run's files, if there are any, its result first, its settings last."""
        if not self.path.exists():
            return
        with reporting_write_errors(self.path):
            self.remove_leftovers()
            self.curve.unlink(missing_ok=True)
            for budget in self.budgets:
                budget.clear()
                if not any(budget.path.iterdir()):
                    budget.path.rmdir()
            for path in reversed(self._own):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def append_history(self, row: Mapping[str, Any]) -> None:
        """Add a generation to the history."""
        with reporting_write_errors(self.history), self.history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def cut_history(self, generation: int) -> None:
        """Drop what a killed process wrote after the checkpoint of `generation`."""
        if not self.history.exists():
            return
        kept = []
        with reporting_write_errors(self.history):
            text = self.history.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # the line the process was killed in
            if isinstance(row, dict) and row.get("gen", math.inf) <= generation:
                kept.append(line)
        write_text(self.history, "".join(f"{line}\n" for line in kept))


def _share(name: str) -> float:
    try:
        return float(name.removeprefix(_BUDGET))
    except ValueError:
        return math.inf
