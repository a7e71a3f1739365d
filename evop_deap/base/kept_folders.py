"""The files in the user's cache that save work and nothing else: how many there are; their end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evop_deap.base.files import reporting_write_errors
from evop_deap.base.formatting import counted, mebibytes
from evop_deap.base.user_folders import KEPT_FOLDERS

_OURS = re.compile(r"(generated-)?[0-9a-f]{32,40}\.(npz|safetensors)")


def what_folders_hold(cache: Path) -> list[str]:
    """Return a line for each folder in the cache folder that holds something."""
    lines = []
    for folder in _folders(cache):
        sizes = [path.stat().st_size for path in _files(folder)]
        if sizes:
            lines.append(f"{folder}: {counted(len(sizes), 'file')}, {mebibytes(sum(sizes))}")
    return lines


def clear_folders(cache: Path) -> list[str]:
    """Remove what the folders hold; return a line for each that held something.

    The folders stay, because a search may be about to write into one.

    Raises:
        OutputError: a file cannot be removed.
    """
    lines = []
    for folder in _folders(cache):
        removed = 0
        for path in list(_files(folder)):
            with reporting_write_errors(path):
                path.unlink(missing_ok=True)
            removed += 1
        if removed:
            lines.append(f"{folder}: removed {counted(removed, 'file')}")
    return lines


def _folders(cache: Path) -> list[Path]:
    return [cache / name for name in KEPT_FOLDERS]


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files with names of ours, as others may lie in a folder that a user has chosen."""
    for path in sorted(folder.rglob("*")):
        if _OURS.fullmatch(path.name) and path.is_file():
            yield path
