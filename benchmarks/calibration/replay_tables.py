"""Tables of the sampling strategies on matrices of losses."""

from __future__ import annotations

from typing import Any

from benchmarks.calibration.replay import TRUTHS
from benchmarks.common.record import markdown_table


def replay_table(about: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """A row for each strategy and budget."""
    lines = [
        [
            row["strategy"],
            str(row["windows"] * about["window"]),
            *(_pair(row, truth) for truth in TRUTHS),
            f"{row['worst_domain_perplexity']:.1f}",
        ]
        for row in rows
    ]
    header = ["strategy", "tokens", "Kendall, regret in mnat", "by domains", "worst domain"]
    return markdown_table(header, lines)


SHOWN = {
    "random": "random documents",
    "k-means": "k-means, proportional",
    "ccds proportional random": "CCDS, proportional, random within",
    "ccds proportional nearest": "CCDS, proportional, nearest",
    "ccds sqrt random": "CCDS, by the square root, random within",
    "ccds equal random": "CCDS, equal, random within",
    "domains": "the true domains, proportional",
    "domains equal": "the true domains, equal",
    "herding": "response to eight probe patterns",
    "only web": "web pages alone",
    "only maths": "mathematics alone",
    "only other text": "WikiText alone, none of the eight",
}
BUDGETS = (1024, 4096, 16384)


def summary_table(report: dict[str, Any]) -> str:
    """A row for each strategy: Kendall's tau, and regret in mnat over tokens and over domains."""
    columns = [(pool, budget) for pool in report["pools"] for budget in BUDGETS]
    found = {
        (pool["window"], row["strategy"], row["windows"] * pool["window"]): row
        for pool in report["pools"]
        for row in pool["rows"]
    }
    header = ["calibrated on"]
    for pool, budget in columns:
        first = f"windows of {pool['window']}: " if budget == BUDGETS[0] else ""
        header.append(f"{first}{budget:,}" + (" tokens" if first else ""))
    lines = []
    for strategy, label in SHOWN.items():
        rows = [found.get((pool["window"], strategy, budget)) for pool, budget in columns]
        lines.append([label, *("-" if row is None else _shown(row) for row in rows)])
    return markdown_table(header, lines)


def _shown(row: dict[str, Any]) -> str:
    if row["windows_had"] < row["windows"]:
        return "-"  # there is not so much of it
    regrets = (f"{1000 * row[f'regret_{truth}']['mean']:.1f}" for truth in TRUTHS)
    return f"{row['kendall_tokens']['mean']:.3f}, {' / '.join(regrets)}"


def _pair(row: dict[str, Any], truth: str) -> str:
    kendall, regret = (row[f"{name}_{truth}"]["mean"] for name in ("kendall", "regret"))
    return f"{kendall:.3f}, {1000 * regret:.1f}"
