"""A figure that the project states, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
"""The folder of all benchmarks, which files are named from."""


@dataclass(frozen=True)
class Claim:
    """One row of the index of claims.

    Attributes:
        what: what the figure is of.
        figure: as documents write it, with its interval or error.
        command: what makes the file, as it follows `python -m`.
        file: where the figure is read from; empty where it was read off a screen.
        commit: what the code was when it was measured, several where runs were made over time;
            in parentheses the commit that added a file which does not say.
    """

    what: str
    figure: str
    command: str
    file: str
    commit: str


def read(file: str) -> Any:
    """A committed result."""
    return json.loads((ROOT / file).read_text(encoding="utf-8"))


def measured_at(file: str) -> str:
    """The short hashes of the commits that a result, or a folder of results, names.

    The earliest is first; "+" follows a commit whose files had been changed.
    """
    path = ROOT / file
    results = [*path.glob("*.json")] if path.is_dir() else [path]
    found = {
        (one["date"], one["commit"][:7] + "+" * one["commit"].endswith("+"))
        for result in results
        for one in _records(json.loads(result.read_text(encoding="utf-8")))
    }
    return ", ".join(dict.fromkeys(commit for _, commit in sorted(found)))


def _records(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each part of a result that says when and at which commit it was made."""
    yield from (one for one in (result, *result.get("runs", ())) if one.get("commit"))
