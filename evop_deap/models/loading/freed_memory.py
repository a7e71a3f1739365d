"""Memory that is freed goes back to the system.

glibc keeps freed memory for later allocations, of up to 32 MiB each by default. Weights that come
and go between hidden states leave gaps that fit nothing else, and a process grows to twice its
need.
"""

from __future__ import annotations

import ctypes
import os

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of glibc's malloc.h
_LARGE = 4 * 2**20  # bytes; smaller allocations are many, and reuse is faster


def return_freed_memory() -> None:
    """From now on, this process returns the memory of large tensors when they are freed.

    Without glibc, nothing changes.
    """
    system = ctypes.CDLL(None) if os.name == "posix" else None
    set_option = getattr(system, "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _LARGE)
