"""Peak main memory of this process."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path


def peak_memory() -> int:
    """Peak main memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak_memory() -> int:
    """Reset the peak if the system supports it, for example after a model was loaded."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()
