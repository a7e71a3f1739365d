"""Claims: figures that the project states, with their source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
"""The folder of all benchmarks; paths of files are relative to it."""


@dataclass(frozen=True)
class Claim:
    """One row of the index of claims.

    Attributes:
        what: the quantity.
        figure: the value as documents write it, with its interval or error.
        command: the command that makes the file, without `python -m`; several are joined by "; ".
        file: the file with the figure; empty if there is none.
        commit: the commit at which it was measured, or several; in parentheses the commit that
            added the file, if the file does not name one.
    """

    what: str
    figure: str
    command: str
    file: str
    commit: str


def read(file: str) -> Any:
    """Read a committed result."""
    return json.loads((ROOT / file).read_text(encoding="utf-8"))


def measured_at(file: str) -> str:
    """The short hashes of the commits in a result, or in a folder of results, earliest first.

    "+" after a hash means that files had uncommitted changes.
    """
    path = ROOT / file
    results = [*path.rglob("*.json")] if path.is_dir() else [path]
    found = {
        (one["date"], one["commit"][:7] + "+" * one["commit"].endswith("+"))
        for result in results
        for one in _records(json.loads(result.read_text(encoding="utf-8")))
    }
    return ", ".join(dict.fromkeys(commit for _, commit in sorted(found)))


def _records(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each part of a result that has a date and a commit."""
    reports = result.get("reports", ())
    methods = (one for report in reports for one in report.get("methods", {}).values())
    parts = (result, result.get("found_at", {}), *result.get("runs", ()), *methods)
    yield from (one for one in parts if one.get("commit"))
