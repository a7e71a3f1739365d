"""Claims on what recovery is worth."""

from __future__ import annotations

from benchmarks.common.claim import Claim, measured_at, read
from benchmarks.recovery.compensation import mixed, removed
from benchmarks.recovery.methods import order_kept

_TOKENS = 40960
"""The default of `--compensation-tokens`."""


def claims() -> list[Claim]:
    """Claims on compensation."""
    return [
        _compensation("demo", "--others wiki.valid.raw"),
        _compensation(
            "qwen-0.5b",
            "--model models/qwen-0.5b --forms full map --tokens 40960 --heldout-tokens 1024",
        ),
        _methods(),
        _ranking(),
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


def _ranking() -> Claim:
    file = "recovery/results/ranking.demo.json"
    found = read(file)["summary"].values()
    return Claim(
        "rank correlation of the loss of the pruned model on held-out text with that after "
        "compensation, 40 patterns near the best, 6 and 10 of 30 blocks; regret of the search's "
        "choice, mnat",
        ", ".join(f"{one['correlation']['pruned']:.2f}" for one in found)
        + "; "
        + ", ".join(f"{1e3 * one['regret']['run']:.0f}" for one in found),
        "benchmarks.recovery.ranking runs/0.2 runs/0.33 --corpus mixed.jsonl --patterns 40 "
        "--tokens 8192 --heldout-tokens 256",
        file,
        measured_at(file),
    )


def _methods() -> Claim:
    file = "recovery/results/methods.demo.json"
    report = read(file)
    orders = [f"{order:.2f}" for order in order_kept(report).values()]
    return Claim(
        "rank correlation over methods of the perplexity before and after compensation, 3, 6, 10 "
        "of 30 blocks",
        ", ".join(orders),
        "benchmarks.recovery.methods --corpus mixed.jsonl --tokens 8192 --heldout-tokens 256 "
        "--runs runs/0.2",
        file,
        measured_at(file),
    )
