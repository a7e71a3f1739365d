"""Locks that lie beside what they protect, so that all users and hosts of a folder meet at them.

The operating system releases a lock however its process ends, and the next holder takes over the
file that a killed process left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from evop_deap.base.errors import InputError

LOCK_FILE = ".lock"
"""Name of the lock in a folder that it protects as a whole."""


@contextmanager
def locked(place: Path, busy: str, *, reentrant: bool = False) -> Iterator[None]:
    """Hold the lock in the file `place` until the body ends.

    Missing folders are made. They are removed again if nothing is written into them.

    Args:
        place: file of the lock; it is removed at the end.
        busy: message if another process holds the lock.
        reentrant: whether the thread that holds it may take it again.

    Raises:
        InputError: another process holds the lock.
        OSError: the file cannot be written.
    """
    from filelock import FileLock, Timeout

    missing = [folder for folder in place.parents if not folder.exists()]
    lock = FileLock(place, timeout=0, is_singleton=reentrant)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(busy) from error
        try:
            yield
        finally:
            if lock.lock_counter == 1:
                # Still held: a process that has opened this file notices, and starts over.
                with suppress(OSError):
                    place.unlink()
            lock.release()
    finally:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()


def hold(file: BinaryIO) -> bool:
    """Mark an open file as being written until it is closed; false if another one has marked it.

    It is true where the system or the file system has no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return os.fstat(file.fileno()).st_nlink > 0


def is_held(path: Path) -> bool:
    """Whether a living process has marked a file by `hold`, or that cannot be found out."""
    try:
        import fcntl

        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return True
    return False
