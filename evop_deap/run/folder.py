"""The folder of a run: what is in it, who may write there, and its history."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evop_deap.errors import InputError, OutputError
from evop_deap.files import remove_leftovers, reporting_write_errors, write_text


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
    def mergekit(self) -> Path:
        """The pattern as a mergekit passthrough recipe."""
        return self.path / "mergekit.yaml"

    @property
    def _own(self) -> tuple[Path, ...]:
        files = (self.config, self.history, self.checkpoint, self.calibration, self.result)
        return (*files, self.drop_config, self.mergekit, self.model)

    def check_usable(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse a place that cannot be written or that holds something; writes nothing.

        Raises:
            InputError: the folder exists and neither flag is given, both are, or it holds
                something that is not a run.
            OutputError: it cannot be written.
        """
        if resume and overwrite:
            raise InputError("`resume` and `overwrite` exclude each other: choose one")
        with reporting_write_errors(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise InputError(f"`output` must be a folder, but {self.path} is a file")
            holds = sorted(p.name for p in self.path.iterdir()) if self.path.exists() else []
        if holds and not resume and not overwrite:
            raise InputError(
                f"`output` {self.path} already holds {holds[0]}: "
                "choose another folder, or add --resume or --overwrite"
            )
        if overwrite and holds and not self.config.exists():
            raise InputError(
                f"`output` {self.path} is not the folder of a run (it has no config.yaml), "
                "so --overwrite leaves it alone: choose another folder"
            )
        _check_writable(self.path)

    def clear(self) -> None:
        """Remove an earlier run's files, its result first and its settings last."""
        with reporting_write_errors(self.path):
            remove_leftovers(self.path)
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
        for line in self.history.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # the line the process was killed in
            if row["gen"] <= generation:
                kept.append(line)
        write_text(self.history, "".join(f"{line}\n" for line in kept))


def _check_writable(path: Path) -> None:
    """Try to write in `path`, or in the nearest folder above it that exists."""
    place = next(p for p in (path, *path.absolute().parents) if p.exists())
    trial = place / f".{uuid.uuid4().hex[:8]}.part"
    with reporting_write_errors(path):
        if not place.is_dir():
            raise OutputError(f"cannot write {path}: {place} is not a folder")
        trial.touch()
        trial.unlink()
