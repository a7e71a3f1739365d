"""Storage of a study: a journal file for any number of processes, or a database by its URL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evop_deap.base.errors import EvopError, InputError, OutputError, one_line
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
        OutputError: it fails while it is in use.
    """
    with ExitStack() as stack:
        stack.enter_context(_reporting_failures(where))
        if "://" not in where:
            yield stack.enter_context(_journal(Path(where)))
        elif where.startswith("sqlite"):
            yield stack.enter_context(_sqlite(where))
        else:
            yield _database(where), None


@contextmanager
def _reporting_failures(where: str) -> Iterator[None]:
    """Raise the error of a storage that fails while it is in use as one line.

    Optuna tells the storage of every error, and raises yet another one if it fails again. So the
    storage's error is searched among those that were being handled.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except EvopError:
        raise
    except Exception as error:
        kinds = (EvopError, OSError, StorageInternalError, SQLAlchemyError)
        causes = [cause for cause in _handled(error) if isinstance(cause, kinds)]
        if not causes:
            raise
        first, place = causes[-1], without_password(where)
        if isinstance(first, EvopError):
            raise type(first)(str(first)) from error
        if isinstance(first, OSError):
            raise OutputError(f"cannot write {place}: {first.strerror or first}") from error
        raise OutputError(f"`storage` {place} cannot be used: {_reason(where, first)}") from error


def _handled(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that were being handled when it was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _journal(path: Path) -> Iterator[tuple[BaseStorage, Workers | None]]:
    from evop_deap.tuning.journal import open_journal

    if path.is_dir():
        raise InputError(f"`storage` {path} is a folder: give a file, such as {path}/study.jsonl")
    # Optuna's lock is a symbolic link to the file, which breaks for a relative path.
    path = path.absolute()
    with reporting_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        storage = open_journal(path)
        with Workers.at_work(path.with_name(f"{path.name}.workers")) as workers:
            yield storage, workers


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
        raise InputError(
            f"`storage` {without_password(url)} cannot be opened: {_reason(url, error)}"
        ) from error


def without_password(where: str) -> str:
    """Return a URL without user and password; a path as it is.

    Example:
        >>> without_password("postgresql://me:a/b@host/studies")
        'postgresql://host/studies'
    """
    if "://" in where:
        where = re.sub(r"([?&](user|password)=)[^&]*", r"\1...", where)
    return re.sub(r"://[^:/@]*(:.*)?@", "://", where)


def _reason(url: str, error: object) -> str:
    return one_line(error).replace(url, without_password(url))[:300]
