"""What the runs of `search_curves` came to, as tables: a row a method, medians over seeds.

python -m benchmarks.curve_tables benchmarks/results/search_curves.demo.*.json --png curves.png
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import errors_in_one_line, markdown_table
from evop_deap.base.errors import InputError
from evop_deap.base.formatting import plural

COSTS = (20, 40, 60)
"""At which a curve is read."""

Run = Mapping[str, Any]
Report = Mapping[str, Any]


def cost_to_reach(run: Run, loss: float) -> float:
    """Work until a pattern at least as good was seen; infinite where none was."""
    reached = (cost for _, cost, best in run["events"] if best is not None and best <= loss)
    return next(reached, math.inf)


def best_at(run: Run, cost: float) -> float:
    """The best loss seen for so much work; infinite before there is any."""
    seen = [best for _, spent, best in run["events"] if spent <= cost and best is not None]
    return seen[-1] if seen else math.inf


def table(report: Report, target: float | None) -> str:
    """Every method of a report; with a target perplexity, what it costs to reach it."""
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
    """All methods over several reports: at a cost of 40, and at the end with what that cost."""
    found = [by_method(report) for report in reports]
    rows = []
    for method in dict.fromkeys(method for one in found for method in one):
        row, everywhere = [method], [run for one in found for run in one.get(method, [])]
        for one in found:
            row.append(_short(one[method]) if method in one else "-")
        row.append(f"{statistics.median(run['seconds_deciding'] for run in everywhere):.1f}")
        rows.append(row)
    return markdown_table(["", *map(named, reports), "s deciding"], rows)


def by_method(report: Report) -> dict[str, list[Run]]:
    """The runs of each method, in the report's order."""
    found: dict[str, list[Run]] = {}
    for run in report["runs"]:
        found.setdefault(run["method"], []).append(run)
    return found


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


def named(report: Report) -> str:
    """What goes: "6 blocks"."""
    settings = report["settings"]
    unit = settings["granularity"]
    return f"{settings['drop']} {unit if settings['drop'] == 1 else plural(unit)}"


def _place(report: Report) -> tuple[str, int]:
    return report["settings"]["granularity"], report["settings"]["drop"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "reports", type=Path, nargs="+", help="files that search_curves has written"
    )
    parser.add_argument("--png", type=Path, help="draw the curves there")
    given = parser.parse_args(arguments)
    reports = sorted(map(read_report, given.reports), key=_place)
    for report in reports:
        print(f"{named(report)}:\n\n{table(report, report.get('target'))}\n")
    print(summary(reports))
    if given.png:
        from benchmarks.curve_picture import draw_curves

        draw_curves(reports, given.png)


def read_report(path: Path) -> Report:
    """What `search_curves --json` has written.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    try:
        report: Report = json.loads(path.read_text(encoding="utf-8"))
        by_method(report), named(report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"`reports` has {path}, which search_curves has not written") from error
    return report


if __name__ == "__main__":
    with errors_in_one_line():
        main()
