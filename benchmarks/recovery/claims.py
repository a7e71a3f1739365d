"""Claims on what recovery is worth."""

from __future__ import annotations

from benchmarks.common.claim import Claim, measured_at, read
from benchmarks.recovery.compensation import mixed, removed

_TOKENS = 40960
"""The default of `--compensation-tokens`."""


def claims() -> list[Claim]:
    """Claims on compensation."""
    return [
        _compensation("demo", "--others wiki.valid.raw"),
        _compensation("qwen-0.5b", "--model models/qwen-0.5b --heldout-tokens 1024"),
    ]


def _compensation(name: str, words: str) -> Claim:
    file = f"recovery/results/compensation.{name}.json"
    report = read(file)
    rows = {row["form"]: row for row in report["rows"] if row["tokens"] == _TOKENS}
    shares = [f"{removed(report, row, mixed(report)):.1%}" for row in rows.values()]
    return Claim(
        f"share of the excess that compensation removes on mixed text, {name}, by "
        f"{', '.join(rows)}, {_TOKENS:,} tokens; cost of the first",
        f"{', '.join(shares)}; {next(iter(rows.values()))['cost']:.1f}",
        f"benchmarks.recovery.compensation --corpus mixed.jsonl {words} "
        f"--drop {','.join(report['dropped'])}",
        file,
        measured_at(file) or "3b2817c",
    )
