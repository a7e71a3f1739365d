"""The most main memory that this process has held."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path


def peak_memory() -> int:
    """Bytes of main memory that this process held at the most."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak_memory() -> int:
    """Start the peak anew where the system can: loading a model takes more than it leaves."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()
