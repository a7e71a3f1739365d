"""The memory pages of weights that are mapped from files: read ahead, and let go after use.

The system lets go of such pages by itself when memory is short. Here they are let go at once, so
that a process holds no more than it needs.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from bisect import bisect_right
from pathlib import Path

import torch

_MAPS = Path("/proc/self/maps")
_POPULATE_READ = 22  # MADV_POPULATE_READ of Linux 5.14; older systems refuse it, which is no harm


class MappedPages:
    """The parts of this process's memory that are mapped from safetensors files.

    On systems other than Linux none are known: then nothing is read ahead or let go here.
    """

    def __init__(self) -> None:
        self._spans = sorted(_spans())
        self._system = ctypes.CDLL(None) if self._spans else None

    def holds(self, tensor: torch.Tensor) -> bool:
        """Return whether a tensor lies in a mapped file."""
        begin = tensor.data_ptr()
        at = bisect_right(self._spans, (begin, sys.maxsize)) - 1
        return at >= 0 and begin + tensor.nbytes <= self._spans[at][1]

    def read(self, tensor: torch.Tensor) -> None:
        """Read a tensor's pages from its file."""
        self._advise(tensor, _POPULATE_READ)

    def let_go(self, tensor: torch.Tensor) -> None:
        """Let go of a tensor's pages; they are read again when the tensor is used."""
        if self._spans:
            self._advise(tensor, mmap.MADV_DONTNEED)

    def _advise(self, tensor: torch.Tensor, advice: int) -> None:
        # Other memory would lose its content.
        if self._system is None or not tensor.nbytes or not self.holds(tensor):
            return
        begin = tensor.data_ptr() // mmap.PAGESIZE * mmap.PAGESIZE
        size = tensor.data_ptr() + tensor.nbytes - begin
        self._system.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(size), advice)


def _spans() -> list[tuple[int, int]]:
    """Return the beginning and the end of each part of memory that a file of weights fills."""
    if not _MAPS.exists():
        return []
    lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    spans = [line.split()[0].split("-") for line in lines if line.endswith(".safetensors")]
    return [(int(begin, 16), int(end, 16)) for begin, end in spans]
