"""One process makes a file and others go on to the next, so that several fill a folder together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from evop_deap.base.files import remove_leftovers, reporting_write_errors


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether `path` is this process's to make: it is missing, and no other process is at it.

    The claim ends with the process, however that ends; what a killed one left half-written of
    this file is deleted.

    Raises:
        OutputError: the folder cannot be written.
    """
    lock = _locked(path)
    if lock is None:
        yield False
        return
    try:
        remove_leftovers(path.parent, [path.name])
        # Asked for under the lock: another process may have made it a moment ago.
        yield not path.exists()
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _locked(path: Path) -> FileLock | None:
    """The lock of `path`, or None where another process holds it."""
    with reporting_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return None
    return lock
