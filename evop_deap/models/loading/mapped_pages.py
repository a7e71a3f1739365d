"""The memory pages of weights that are mapped from files: read ahead, and let go after use.

The system lets go of such pages by itself when memory is short. Here they are let go at once, so
that a process holds no more than it needs.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import nn

_MAPS = Path("/proc/self/maps")
_POPULATE_READ = 22  # MADV_POPULATE_READ of Linux 5.14; older systems refuse it, which is no harm


class MappedPages:
    """The parts of this process's memory that are mapped from safetensors files.

    On systems other than Linux none are known: then nothing is read ahead or let go here.

    Args:
        spans: the beginning and the end of each part; by default all that there are now.
    """

    def __init__(self, spans: Sequence[tuple[int, int]] | None = None) -> None:
        self._spans = sorted(mapped_spans() if spans is None else spans)
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
        """Let go of a tensor's pages; they are read again when the tensor is used.

        What was changed in them is lost, so they must be as they are in the file.
        """
        if self._spans:
            self._advise(tensor, mmap.MADV_DONTNEED)

    def _advise(self, tensor: torch.Tensor, advice: int) -> None:
        # Other memory would lose its content.
        if self._system is None or not tensor.nbytes or not self.holds(tensor):
            return
        begin = tensor.data_ptr() // mmap.PAGESIZE * mmap.PAGESIZE
        size = tensor.data_ptr() + tensor.nbytes - begin
        self._system.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(size), advice)


_PAGES: WeakKeyDictionary[nn.Module, MappedPages] = WeakKeyDictionary()


def let_go_from_now_on(model: nn.Module, pages: MappedPages) -> None:
    """Say that a model's weights are never changed in place, so that their pages may be let go."""
    _PAGES[model] = pages


def pages_of(model: nn.Module) -> MappedPages:
    """Return the pages of a model that may be let go; none if its weights may be changed."""
    return _PAGES.get(model) or MappedPages(())


def mapped_spans() -> list[tuple[int, int]]:
    """Return the beginning and the end of each part of memory that a file of weights fills."""
    if not _MAPS.exists():
        return []
    lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    spans = [line.split()[0].split("-") for line in lines if line.endswith(".safetensors")]
    return [(int(begin, 16), int(end, 16)) for begin, end in spans]
