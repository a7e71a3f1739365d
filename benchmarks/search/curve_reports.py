"""Reports of `search.curves`: runs by method, and values read from their curves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError

Run = Mapping[str, Any]
Report = Mapping[str, Any]


def read_report(path: Path) -> Report:
    """Read a report that `search.curves --json` has written.

    Raises:
        InputError: the file cannot be read, or is not a report.
    """
    try:
        report: Report = json.loads(path.read_text(encoding="utf-8"))
        by_method(report), named(report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"`reports` has {path}, which search.curves has not written") from error
    return report


def by_method(report: Report) -> dict[str, list[Run]]:
    """The runs of each method, in the report's order."""
    found: dict[str, list[Run]] = {}
    for run in report["runs"]:
        found.setdefault(run["method"], []).append(run)
    return found


def named(report: Report) -> str:
    """The number of dropped units, such as "6 blocks"."""
    settings = report["settings"]
    one, many = {"block": ("block", "blocks"), "half": ("half", "halves")}[settings["granularity"]]
    return f"{settings['drop']} {one if settings['drop'] == 1 else many}"


def cost_to_reach(run: Run, loss: float) -> float:
    """The cost until a pattern at least this good was seen; infinity if there was none."""
    reached = (cost for _, cost, best in run["events"] if best is not None and best <= loss)
    return next(reached, math.inf)


def best_at(run: Run, cost: float) -> float:
    """The best loss seen up to this cost; infinity before the first."""
    seen = [best for _, spent, best in run["events"] if spent <= cost and best is not None]
    return seen[-1] if seen else math.inf
