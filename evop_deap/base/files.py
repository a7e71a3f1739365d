"""Atomic writing of files and folders: under a temporary name first, then a rename."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError, OutputError
from evop_deap.base.locks import LOCK_FILE, hold, is_held, locked

_PART = ".part"


@contextmanager
def reporting_write_errors(path: Path) -> Iterator[None]:
    """Raise an `OSError` of the body as an `OutputError` about `path`."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`: readers see the old file or the new one, never a part.

    Raises:
        OutputError: the file cannot be written; an older file at `path` is untouched.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, atomically as `write_text` does.

    Raises:
        OutputError: the file cannot be written; an older file at `path` is untouched.
    """
    with reporting_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, [path.name], folders=False)
        while not _is_written(_temporary_name(path), content, path):
            pass


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that is renamed to `path` when the body succeeds.

    A folder already at `path` is replaced. When the body raises, that folder stays as it was and
    the temporary one is deleted.

    Raises:
        InputError: another process is writing `path`.
        OutputError: the folder cannot be written.
    """
    with claimed(path), reporting_write_errors(path):
        target = Path(os.path.realpath(path))
        temporary = _temporary_name(target)
        temporary.mkdir()
        try:
            yield temporary
            _move_folder(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Lock `path` against being written by other processes until the body ends.

    The lock lies beside `path`, because a folder there is replaced as a whole. Temporary files and
    folders that killed processes left for `path` are deleted. The holder may claim `path` again.

    Raises:
        InputError: another process is writing `path`.
        OutputError: nothing can be written beside `path`.
    """
    target = Path(os.path.realpath(path))
    if not target.exists():
        check_writable(target)
    lock = target.with_name(f".{target.name}{LOCK_FILE}")
    with _locked(lock, [target.name], path, reentrant=True):
        yield


@contextmanager
def exclusive(folder: Path, names: Collection[str]) -> Iterator[None]:
    """Lock a folder against being written by other processes until the body ends.

    The lock lies in the folder. Temporary files and folders that killed processes left there for
    these names are deleted.

    Raises:
        InputError: another process is writing into the folder.
        OutputError: the folder cannot be written.
    """
    with _locked(folder / LOCK_FILE, names, folder):
        yield


@contextmanager
def _locked(
    lock: Path, names: Collection[str], output: Path, *, reentrant: bool = False
) -> Iterator[None]:
    busy = (
        f"`output` {output} is being written by another process: wait for it, or choose another "
        "folder"
    )
    with ExitStack() as stack:
        with reporting_write_errors(output):
            stack.enter_context(locked(lock, busy, reentrant=reentrant))
            remove_leftovers(lock.parent, names)
        yield


def is_leftover(path: Path, names: Collection[str]) -> bool:
    """Whether `path` is a temporary file that a killed process left for one of `names`."""
    match = re.fullmatch(rf"\.(.+)\.[0-9a-f]{{8}}{re.escape(_PART)}", path.name)
    return match is not None and match[1] in names


def remove_leftovers(folder: Path, names: Collection[str], *, folders: bool = True) -> None:
    """Delete what killed processes left in `folder` for these names.

    A file that a living process is writing stays.

    Args:
        folder: folder of the temporary files.
        names: names of the files and folders that they were for.
        folders: whether temporary folders are deleted; the caller has locked the place.
    """
    for part in folder.iterdir():
        if not is_leftover(part, names):
            continue
        if not part.is_dir():
            if not is_held(part):
                part.unlink(missing_ok=True)
        elif folders:
            shutil.rmtree(part, ignore_errors=True)


def names_in_output(folder: Path) -> list[str]:
    """Sorted names of the entries of an output folder but its lock; none if it does not exist.

    Raises:
        InputError: `folder` is a file.
        OutputError: the folder cannot be read.
    """
    with reporting_write_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"`output` must be a folder, but {folder} is a file")
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
        return sorted(names - {LOCK_FILE})


def check_writable(path: Path) -> None:
    """Write a file without a name in `path`, or in the nearest folder above it that exists.

    Raises:
        OutputError: nothing can be written there.
    """
    place = next(p for p in (path, *path.absolute().parents) if p.exists())
    with reporting_write_errors(path):
        if not place.is_dir():
            raise OutputError(f"cannot write {path}: {place} is not a folder")
        with tempfile.TemporaryFile(dir=place):
            pass


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_text(text: str) -> str:
    """Hexadecimal SHA-256 of a text's UTF-8 bytes; lone surrogates are encoded as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_PART}")


def _is_written(temporary: Path, content: bytes, path: Path) -> bool:
    """Write `content` to `path` by way of `temporary`; false if another process removed that."""
    try:
        with temporary.open("xb") as file:
            if not hold(file):
                return False
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _move_folder(source: Path, target: Path) -> None:
    """Rename `source` to `target`; an older folder there is deleted last, or restored on error."""
    if not target.exists():
        source.rename(target)
        return
    replaced = _temporary_name(target)
    target.rename(replaced)
    try:
        source.rename(target)
    except OSError:
        replaced.rename(target)
        raise
    if replaced.is_dir():
        shutil.rmtree(replaced, ignore_errors=True)
    else:
        replaced.unlink(missing_ok=True)
