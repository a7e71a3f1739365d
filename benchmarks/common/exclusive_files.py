"""Locks on files, so that several processes can fill a folder together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from evop_deap.base.files import remove_leftovers, reporting_write_errors


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Claim `path` for this process; false if the file exists or another process has claimed it.

    The claim ends with the process, even if that is killed. Temporary files of killed processes
    are deleted.

    Raises:
        OutputError: the folder cannot be written.
    """
    lock = _locked(path)
    if lock is None:
        yield False
        return
    try:
        remove_leftovers(path.parent, [path.name])
        # Check under the lock: another process may just have made the file.
        yield not path.exists()
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _locked(path: Path) -> FileLock | None:
    """The lock of `path`, or None if another process holds it."""
    with reporting_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return None
    return lock
