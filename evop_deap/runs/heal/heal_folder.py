"""The folder of a training after pruning: its files, its lock, and its unfinished work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from evop_deap.base.data_files import read_json
from evop_deap.base.errors import CheckpointError, InputError
from evop_deap.base.files import (
    check_writable,
    exclusive,
    names_in_output,
    reporting_write_errors,
    write_json,
)
from evop_deap.base.typed import typed
from evop_deap.base.user_text import shown
from evop_deap.runs.heal.machine_choices import MachineChoices
from evop_deap.settings.healing_config import HealingConfig


@dataclass(frozen=True)
class HealFolder:
    """Paths of the files in the folder of a training after pruning.

    Example:
        >>> HealFolder(Path("healed/demo")).model.as_posix()
        'healed/demo/model'
    """

    path: Path

    @property
    def model(self) -> Path:
        """The healed checkpoint."""
        return self.path / "model"

    @property
    def adapter(self) -> Path:
        """The adapters alone, for peft, if they are kept."""
        return self.path / "adapter"

    @property
    def result(self) -> Path:
        """The result; the last file to be written."""
        return self.path / "healing.json"

    @property
    def report(self) -> Path:
        """The page with the loss curves."""
        return self.path / "report.html"

    @property
    def tracking(self) -> Path:
        """Files of the tracker, if one is used."""
        return self.path / "tracking"

    @property
    def work(self) -> Path:
        """The unfinished training, removed at the end."""
        return self.path / "work"

    @property
    def settings(self) -> Path:
        """The settings of the unfinished training; the first file to be written."""
        return self.work / "settings.json"

    @property
    def identity(self) -> Path:
        """The values that must match to resume."""
        return self.work / "identity.json"

    def check_usable(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse a folder that cannot be used; write nothing.

        Raises:
            InputError: the folder holds files and neither flag is given, both are given, it
                holds anything else, or there is nothing to resume.
            OutputError: the folder cannot be written.
        """
        if resume and overwrite:
            raise InputError("`resume` and `overwrite` exclude each other: choose one")
        holds = names_in_output(self.path)
        if holds and not resume and not overwrite:
            raise InputError(
                f"`output` {self.path} already holds {holds[0]}: "
                "choose another folder, or add --resume or --overwrite"
            )
        own = {path.name for path in self.own}
        others = [name for name in holds if name not in own and not name.startswith(".")]
        if others:
            raise InputError(
                f"`output` {self.path} holds {others[0]}, which is of no training: "
                "choose another folder"
            )
        if overwrite and holds and not self._is_training():
            raise InputError(
                f"`output` {self.path} is not the folder of a training (no healing.json), so "
                "--overwrite leaves it alone: choose another folder"
            )
        if resume and not self.settings.is_file():
            done = "is finished" if self.result.is_file() else "holds no training"
            raise InputError(f"`resume`: {self.path} {done}; leave out --resume")
        check_writable(self.path)

    def _is_training(self) -> bool:
        """Return whether the folder holds a training, or only leftovers of one."""
        return self.has_training or all(
            path.is_dir() or path.name.startswith(".") for path in self.path.rglob("*")
        )

    @property
    def has_training(self) -> bool:
        """Whether the folder holds a training, finished or not."""
        return self.result.is_file() or self.settings.is_file()

    def abandon(self) -> None:
        """Remove a training that has not begun, and the folder if nothing else is in it."""
        shutil.rmtree(self.work, ignore_errors=True)
        with suppress(OSError):
            self.path.rmdir()

    def resumed_settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of the unfinished training, updated by those in `given`.

        Raises:
            CheckpointError: the settings cannot be read, or one has an unknown name.
        """
        if not self.settings.is_file():
            return dict(given)
        stored, known = _values(self.settings), fields(HealingConfig)
        if others := stored.keys() - {setting.name for setting in known}:
            raise CheckpointError(
                f"`resume`: {self.settings} has an unknown setting {shown(min(others))}: remove "
                "it, or start again with --overwrite"
            )
        return {**stored, **given}

    def start(self, settings: Mapping[str, Any]) -> None:
        """Store the settings of a new training. An earlier result stays until that begins.

        Raises:
            OutputError: the folder cannot be written.
        """
        with reporting_write_errors(self.path):
            self.identity.unlink(missing_ok=True)
        write_json(self.settings, settings)

    def machine_choices(self) -> MachineChoices | None:
        """Return what the unfinished training chose for this machine, or None before it begins.

        Raises:
            CheckpointError: it cannot be read.
        """
        stored = _values(self.identity).get("machine") if self.identity.is_file() else None
        if stored is None:
            return None
        with _unreadable(self.identity):
            return typed(MachineChoices, stored)

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Store the identity of a training and remove an earlier one, or compare with the stored.

        Raises:
            CheckpointError: the stored training is another one; the message names the value.
            OutputError: the folder cannot be written.
        """
        with reporting_write_errors(self.path):
            if not self.identity.is_file():
                self._clear()
        if not self.identity.is_file():
            write_json(self.identity, identity)
            return
        stored = _values(self.identity)
        for name, value in identity.items():
            if stored.get(name) != value:
                raise CheckpointError(
                    f"`resume`: the training in {self.path} has {name} {shown(stored.get(name))}, "
                    f"but this one has {shown(value)}: go on with the same, or use --overwrite"
                )

    def _clear(self) -> None:
        """Remove an earlier training but the settings, its result first."""
        earlier = [path for path in self.own if path != self.work]
        for path in (*earlier, *self.work.iterdir()):
            if path.is_dir():
                shutil.rmtree(path)
            elif path != self.settings:
                path.unlink(missing_ok=True)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Lock this folder against other processes until the body ends.

        Temporary files of killed processes are deleted.

        Raises:
            InputError: another process holds the lock.
            OutputError: the folder cannot be written.
        """
        with exclusive(self.path, [path.name for path in self.own]):
            yield

    @property
    def own(self) -> tuple[Path, ...]:
        """Everything that a training writes."""
        return self.result, self.report, self.adapter, self.tracking, self.work, self.model


def _values(path: Path) -> dict[str, Any]:
    with _unreadable(path):
        return typed(dict[str, Any], read_json(path, "it"))


@contextmanager
def _unreadable(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise CheckpointError(
            f"`resume`: {path} cannot be read: start again with --overwrite ({error})"
        ) from error
