"""Storage of a study: a journal file for any number of processes, or a database by its URL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError, one_line
from evop_deap.base.files import reporting_write_errors
from evop_deap.tuning.experimental import accepting_experiments
from evop_deap.tuning.workers import Workers

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_HEARTBEAT_SECONDS = 60


@contextmanager
def open_storage(where: str) -> Iterator[tuple[BaseStorage, Workers | None]]:
    """Open the storage at a URL, or the journal file at a path.

    Yields:
        The storage, and the processes that use it; None for a server, which detects killed
        processes by their heartbeats.

    Raises:
        InputError: the storage cannot be opened, or is SQLite and in use by another process.
    """
    if "://" not in where:
        with _journal(Path(where)) as opened:
            yield opened
    elif where.startswith("sqlite"):
        with _sqlite(where) as opened:
            yield opened
    else:
        yield _database(where), None


@contextmanager
def _journal(path: Path) -> Iterator[tuple[BaseStorage, Workers | None]]:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if path.is_dir():
        raise InputError(f"`storage` {path} is a folder: give a file, such as {path}/study.jsonl")
    # Optuna's lock is a symbolic link to the file, which breaks for a relative path.
    path = path.absolute()
    with reporting_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with Workers.at_work(path.with_name(f"{path.name}.workers")) as workers:
            try:
                _check_first_line(path)
                storage = JournalStorage(JournalFileBackend(str(path)))
            # Optuna does not check the file, and raises any of these for a foreign one.
            except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
                reason = one_line(f"{type(error).__name__} {error}")
                raise InputError(
                    f"`storage` {path} is not a journal of Optuna's, or was damaged: {reason}"
                ) from error
            yield storage, workers


def _check_first_line(path: Path) -> None:
    """Refuse a foreign first line, which Optuna would take for an incomplete one.

    Raises:
        ValueError: the first line is no line of a journal.
    """
    if path.exists():
        with path.open(encoding="utf-8") as file:
            first = file.readline()
        if first and "op_code" not in json.loads(first):
            raise ValueError("its first line has no op_code")


@contextmanager
def _sqlite(url: str) -> Iterator[tuple[BaseStorage, Workers | None]]:
    from filelock import FileLock, Timeout
    from optuna.storages import RDBStorage

    _, _, name = url.partition(":///")
    if not name or name == ":memory:":
        raise InputError(
            f"`storage` {url} is lost when the process ends: give sqlite:///FILE or a journal file"
        )
    path = Path(name)
    with reporting_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                FileLock(path.with_name(f"{path.name}.lock"), timeout=0),
                Workers.at_work(path.with_name(f"{path.name}.workers")) as workers,
            ):
                yield _opened(RDBStorage, url), workers
        except Timeout as error:
            raise InputError(
                f"`storage` {url} is in use by another process, and SQLite supports one at a "
                "time: use a journal file (--storage study.jsonl), PostgreSQL or MySQL for several"
            ) from error


def _database(url: str) -> BaseStorage:
    """Open a database server, with heartbeats and a retry of trials of killed processes."""
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

    with accepting_experiments():
        retry = RetryHeartbeatStaleTrialCallback(max_retry=3)
        return _opened(
            RDBStorage,
            url,
            heartbeat_interval=_HEARTBEAT_SECONDS,
            heartbeat_stale_trial_callback=retry,
        )


def _opened(kind: type[BaseStorage], url: str, **options: object) -> BaseStorage:
    """Open the storage; an error becomes one line without the password.

    Raises:
        InputError: the storage cannot be opened.
    """
    try:
        return kind(url, **options)  # type: ignore[call-arg]
    except Exception as error:  # each driver has errors of its own
        shown = re.sub(r"//[^@/]*@", "//", url)
        reason = one_line(error).replace(url, shown)
        raise InputError(f"`storage` {shown} cannot be opened: {reason[:300]}") from error
