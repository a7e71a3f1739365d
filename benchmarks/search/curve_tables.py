r"""Tables of the runs of `search.curves`: a row for each method, with medians over seeds.

    python -m benchmarks.search.curve_tables benchmarks/search/results/curves.demo.*.json \
        --png curves.png
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.record import errors_in_one_line, markdown_table
from benchmarks.search.curve_reports import (
    Report,
    Run,
    best_at,
    by_method,
    cost_to_reach,
    named,
    read_report,
)

COSTS = (20, 40, 60)
"""The costs at which a curve is read."""


def table(report: Report, target: float | None) -> str:
    """A row for each method of a report; with a target perplexity, the cost of reaching it."""
    rows = []
    for method, runs in by_method(report).items():
        row = [method, str(len(runs)), *_ends(runs), *(_at(runs, cost) for cost in COSTS)]
        for name in ("evaluations", "cost", "seconds_deciding"):
            row.append(f"{statistics.median(run[name] for run in runs):.1f}")
        if target is not None:
            costs = [cost_to_reach(run, math.log(target)) for run in runs]
            row.append(f"{statistics.median(costs):.1f}")
        rows.append(row)
    header = ["method", "seeds", "perplexity", "best seed", *(f"at cost {cost}" for cost in COSTS)]
    header += ["patterns", "cost", "s deciding"]
    return markdown_table(header + ([f"cost to {target}"] if target else []), rows)


def summary(reports: Sequence[Report]) -> str:
    """All methods over several reports: figures at a cost of 40, and at the end with its cost."""
    found = [by_method(report) for report in reports]
    rows = []
    for method in dict.fromkeys(method for one in found for method in one):
        row, everywhere = [method], [run for one in found for run in one.get(method, [])]
        for one in found:
            row.append(_short(one[method]) if method in one else "-")
        row.append(f"{statistics.median(run['seconds_deciding'] for run in everywhere):.1f}")
        rows.append(row)
    return markdown_table(["", *map(named, reports), "s deciding"], rows)


def _short(runs: Sequence[Run]) -> str:
    cost = statistics.median(run["cost"] for run in runs)
    seeds = f", {len(runs)} seeds" if len(runs) > 1 else ""
    return f"{_at(runs, 40)}, {_ends(runs)[0]} ({cost:.0f}{seeds})"


def _ends(runs: Sequence[Run]) -> tuple[str, str]:
    """The median and the best perplexity at the end."""
    ends = [run["perplexity"] for run in runs]
    return f"{statistics.median(ends):.2f}", f"{min(ends):.2f}"


def _at(runs: Sequence[Run], cost: float) -> str:
    middle = statistics.median(best_at(run, cost) for run in runs)
    return f"{math.exp(middle):.2f}" if math.isfinite(middle) else "-"


def _place(report: Report) -> tuple[str, int]:
    return report["settings"]["granularity"], report["settings"]["drop"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("reports", type=Path, nargs="+", help="files written by search.curves")
    parser.add_argument("--png", type=Path, help="file for the plot of the curves")
    given = parser.parse_args(arguments)
    reports = sorted(map(read_report, given.reports), key=_place)
    for report in reports:
        print(f"{named(report)}:\n\n{table(report, report.get('target'))}\n")
    print(summary(reports))
    if given.png:
        from benchmarks.search.curve_picture import draw_curves

        draw_curves(reports, given.png)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
