"""Claims on what several workers gain."""

from __future__ import annotations

from benchmarks.common.claim import Claim, measured_at, read

_MANY = "64"


def claims() -> list[Claim]:
    """Claims on two workers, and on simulated ones."""
    return [_two(), _simulated()]


def _two() -> Claim:
    file = "distributed/results/speedup.demo.json"
    report = read(file)
    return Claim(
        f"times as fast with two workers as with one, {report['patterns']} patterns; overhead of "
        "the driver",
        f"{report['speedup']:.2f}; {report['overhead']:.1%}",
        "benchmarks.distributed.speedup",
        file,
        measured_at(file),
    )


def _simulated() -> Claim:
    file = "distributed/results/workers.demo.json"
    report = read(file)
    last = {row["groups"]: row["speedup"] for row in report["generations"]}
    return Claim(
        f"simulated, times as fast with {_MANY} workers as with one, a generation of 64 on "
        f"{', '.join(map(str, last))} groups of windows",
        ", ".join(f"{speedup[_MANY]:.0f}" for speedup in last.values()),
        f"benchmarks.distributed.workers --seeds {report['seeds']}",
        file,
        measured_at(file),
    )
