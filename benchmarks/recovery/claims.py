"""Claims on what recovery is worth."""

from __future__ import annotations

from benchmarks.common.claim import Claim, measured_at, read
from benchmarks.recovery.compensation import mixed, removed

_TOKENS = 40960
"""The default of `--compensation-tokens`."""


def claims() -> list[Claim]:
    """Claims on compensation."""
    return [_compensation("demo")]


def _compensation(name: str) -> Claim:
    file = f"recovery/results/compensation.{name}.json"
    report = read(file)
    rows = {row["form"]: row for row in report["rows"] if row["tokens"] == _TOKENS}
    shares = [f"{removed(report, row, mixed(report)):.1%}" for row in rows.values()]
    return Claim(
        f"share of the excess that compensation removes on mixed text, by {', '.join(rows)}, "
        f"{_TOKENS:,} tokens; cost of the first",
        f"{', '.join(shares)}; {next(iter(rows.values()))['cost']:.1f}",
        "benchmarks.recovery.compensation --corpus mixed.jsonl --others wiki.valid.raw "
        f"--drop {','.join(report['dropped'])}",
        file,
        measured_at(file) or "3b2817c",
    )
