"""A check of JSON files before they are read: Arrow's reader crashes at rows that are null."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from evop_deap.base.errors import InputError

_BEGINS_WITH_NULL = re.compile(rb"\s*(\[\s*)?null\b")
_HEAD = 1 << 16  # bytes


def check_json_rows(path: Path) -> None:
    """Refuse a file of JSON lines or an array in which null stands for a row.

    A file that cannot be unpacked passes: whoever reads it says why.

    Args:
        path: the file; its suffix says whether it is packed.

    Raises:
        InputError: a row is null.
    """
    try:
        number = _null_row(path)
    except (OSError, EOFError, ImportError, ValueError, lzma.LZMAError):
        return
    if number is not None:
        raise InputError(
            f"`corpus`: cannot read {path}: line {number} holds null in place of a row"
        )


def _null_row(path: Path) -> int | None:
    """Return the number of a line in which a row is null, counted from 1, or None."""
    with opener(path)(path) as file:
        head = file.read(_HEAD).removeprefix(codecs.BOM_UTF8)
        if found := _BEGINS_WITH_NULL.match(head):
            return head[: found.end()].count(b"\n") + 1
        file.seek(0)
        after_row = False
        for number, line in enumerate(file, start=1):
            text = line.strip()
            # In an object of several lines, null follows a comma, a colon or a bracket.
            if after_row and text.startswith(b"null"):
                return number
            if text:
                after_row = text.endswith(b"}")
    return None


def opener(path: Path) -> Callable[[Path], IO[bytes]]:
    """Return what opens a file to read its bytes, unpacked as its suffix says."""
    suffix = path.suffix.lower()
    if suffix == ".zst":
        import zstandard

        return lambda path: zstandard.open(path, "rb")
    kinds: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    opened: Callable[[Path], IO[bytes]] = kinds.get(suffix, lambda path: path.open("rb"))
    return opened
