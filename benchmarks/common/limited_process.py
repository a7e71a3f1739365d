"""A process that is ended when its memory grows beyond a limit."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

_PAUSE = 0.02  # seconds between two looks


@dataclass(frozen=True)
class Ended:
    """The end of a process.

    Attributes:
        code: its exit code; negative if it was ended.
        output: what it printed to stdout.
        peak: its largest resident memory in bytes, mapped files included.
        seconds: how long it ran.
    """

    code: int
    output: str
    peak: int
    seconds: float


def run_limited(command: Sequence[str], limit: int | None) -> Ended:
    """Run a command, and end it once its resident memory exceeds `limit` bytes.

    Memory is looked at fifty times a second, and files that are mapped count: this needs no rights,
    unlike a group of processes with a limit of its own.
    """
    began, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            if limit is not None and peak > limit:
                process.kill()
            time.sleep(_PAUSE)
        output = process.stdout.read() if process.stdout else ""
        code = process.wait()
    return Ended(code, output, peak, time.perf_counter() - began)
