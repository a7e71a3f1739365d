"""How fast a checkpoint's weights are read from the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path

_MOST = 256 * 2**20  # bytes that are read to measure
_CHUNK = 8 * 2**20


def disk_rate(files: Collection[Path]) -> float:
    """Return the bytes a second at which the largest of some files is read.

    The system is asked to forget what it holds of the file, so that the disk is measured.

    Args:
        files: the files, at least one.
    """
    largest = max(files, key=lambda file: file.stat().st_size)
    with largest.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        size, began = 0, time.perf_counter()
        while size < _MOST and (part := file.read(_CHUNK)):
            size += len(part)
    return size / max(time.perf_counter() - began, 1e-9)


def patterns_that_pay(reading: float, pattern: float) -> int:
    """Return how many patterns of a generation make reading half of its time or less.

    Args:
        reading: seconds to read all weights, once for all patterns.
        pattern: seconds to compute one pattern.

    Example:
        >>> patterns_that_pay(reading=10.0, pattern=4.0)
        3
    """
    return max(1, -int(-reading // max(pattern, 1e-9)))
