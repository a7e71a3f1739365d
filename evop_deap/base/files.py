"""Atomic writing of files and folders: under a temporary name first, then a rename."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError, OutputError

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
        temporary = _temporary_name(path)
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that is renamed to `path` when the body succeeds.

    A folder already at `path` is replaced. When the body raises, that folder stays as it was and
    the temporary one is deleted.
    """
    with reporting_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary_name(path)
        temporary.mkdir()
        try:
            yield temporary
            _move_folder(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def is_leftover(path: Path, names: Collection[str]) -> bool:
    """Whether `path` is a temporary file that a killed process left for one of `names`."""
    match = re.fullmatch(rf"\.(.+)\.[0-9a-f]{{8}}{re.escape(_PART)}", path.name)
    return match is not None and match[1] in names


def remove_leftovers(folder: Path, names: Collection[str]) -> None:
    """Delete the temporary files in `folder` that killed processes left for these names."""
    for part in folder.iterdir():
        if not is_leftover(part, names):
            continue
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def names_in_output(folder: Path) -> list[str]:
    """Sorted names of the entries of an output folder; empty if it does not exist yet.

    Raises:
        InputError: `folder` is a file.
        OutputError: the folder cannot be read.
    """
    with reporting_write_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"`output` must be a folder, but {folder} is a file")
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def check_writable(path: Path) -> None:
    """Create and delete a file in `path`, or in the nearest folder above it that exists.

    Raises:
        OutputError: nothing can be written there.
    """
    place = next(p for p in (path, *path.absolute().parents) if p.exists())
    trial = place / f".{uuid.uuid4().hex[:8]}.part"
    with reporting_write_errors(path):
        if not place.is_dir():
            raise OutputError(f"cannot write {path}: {place} is not a folder")
        trial.touch()
        trial.unlink()


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
    shutil.rmtree(replaced, ignore_errors=True)
