"""The journal of a study: one record a line, written by any number of processes.

A killed process, a full disk or a power cut may leave an unfinished record at the end. Optuna would
append the next record to it, and could not read the journal any more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from evop_deap.base.data_files import parse_json
from evop_deap.base.errors import InputError, one_line

_BEGIN = '{"op_code":'  # of every record
_CHUNK = 1 << 16  # bytes; more than the first record has


def open_journal(path: Path) -> JournalStorage:
    """Open a journal, or create an empty one; an unfinished last record is dropped.

    Args:
        path: absolute path of the file; its folder exists.

    Raises:
        InputError: it is no journal, or is damaged before its last record; it stays as it was.
        OSError: it cannot be read or written.
    """
    with _reporting_damage(path):
        if path.exists():
            _check_first_line(path)
        lock = _LockOfWholeRecords(str(path))
        storage = JournalStorage(_Backend(str(path), lock))
        lock.acquire()
        try:
            _drop_unreadable(path)
        finally:
            lock.release()
        return storage


class _LockOfWholeRecords(JournalFileSymlinkLock):
    """Optuna's lock of a journal, in which all records are whole once the lock is taken."""

    def acquire(self) -> bool:
        taken = super().acquire()
        try:
            with Path(self._lock_target_file).open("r+b") as file:
                _cut(file, _after_line_break(file, _size(file)))
        except BaseException:
            self.release()
            raise
        return taken


class _Backend(JournalFileBackend):
    """Optuna's file of a journal; damage is reported in one line."""

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        try:
            for record in super().read_logs(log_number_from):
                json.dumps(record, ensure_ascii=False).encode()  # no text that cannot be written
                yield record
        except (ValueError, RecursionError) as error:
            raise _damaged(Path(self._file_path), error) from error


@contextmanager
def _reporting_damage(path: Path) -> Iterator[None]:
    """Raise any error but an `OSError` as an `InputError` about the journal."""
    try:
        yield
    except (InputError, OSError):
        raise
    except (
        Exception
    ) as error:  # Optuna reads records unchecked, and raises any type for a foreign one
        raise _damaged(path, error) from error


def _damaged(path: Path, error: object) -> InputError:
    reason = error if isinstance(error, str) else one_line(f"{type(error).__name__} {error}")
    return InputError(f"`storage` {path} is not a journal of Optuna's, or was damaged: {reason}")


def _check_first_line(path: Path) -> None:
    """Refuse a foreign file before anything in it is changed.

    Raises:
        InputError: the first line is no record, nor the beginning of one.
    """
    with path.open("rb") as file:
        line = file.readline(_CHUNK)
    text = line.decode("utf-8-sig", errors="replace")
    if not text.endswith("\n"):
        text = text.rstrip("\0")
        if len(line) < _CHUNK and (text.startswith(_BEGIN) or _BEGIN.startswith(text)):
            return
        raise _damaged(path, "its first line is not a record")
    try:
        record = parse_json(text)
    except InputError as error:
        raise _damaged(path, f"its first line is not a record: {error}") from error
    if not isinstance(record, dict) or type(record.get("op_code")) is not int:
        raise _damaged(path, "its first line has no op_code")


def _drop_unreadable(path: Path) -> None:
    """Drop the last line if it is no record: one was appended to an unfinished one."""
    with path.open("r+b") as file:
        begin = _after_line_break(file, _size(file) - 1)
        file.seek(begin)
        try:
            json.loads(file.read())  # a record may hold NaN, which `parse_json` refuses
        except (ValueError, RecursionError):
            _cut(file, begin)


def _after_line_break(file: BinaryIO, end: int) -> int:
    """Return the place after the last line break before byte `end`; 0 without one."""
    while end > 0:
        begin = max(0, end - _CHUNK)
        file.seek(begin)
        if (found := file.read(end - begin).rfind(b"\n")) >= 0:
            return begin + found + 1
        end = begin
    return 0


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _cut(file: BinaryIO, size: int) -> None:
    if size < _size(file):
        file.truncate(size)
