"""The runs of `search.curves` as files, each with its settings, machine and commit."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.record import circumstances
from benchmarks.search.methods import METHODS
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json

Kept = Mapping[str, Any]
"""Versions, machine, date and commit; `of`, the settings; and `run`, the result."""

Event = tuple[int, float, float | None]
"""Number of patterns so far, cost so far, and best loss so far; None before the first loss."""


def path_of(folder: Path, method: str, seed: int) -> Path:
    """The file of a run."""
    return folder / f"{method.replace(', ', '-').replace(' ', '-')}.{seed}.json"


def write_run(folder: Path, of: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Write a finished run to its file.

    Raises:
        OutputError: it cannot be written.
    """
    kept = {**circumstances(), "of": of, "run": run}
    write_json(path_of(folder, run["method"], run["seed"]), kept)


def read_runs(folder: Path) -> list[Kept]:
    """Read the finished runs of a folder by method and seed; none if there is no folder.

    Raises:
        InputError: a file is not a run.
    """
    order = {name: place for place, name in enumerate(METHODS)}

    def place(kept: Kept) -> tuple[int, int]:
        return order[kept["run"]["method"]], kept["run"]["seed"]

    # A file that is being written has a name that begins with a dot.
    return sorted(map(_read, folder.glob("[!.]*.json")), key=place)


def _read(path: Path) -> Kept:
    try:
        kept: Kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["run"]["method"] in METHODS and "of" in kept:
            return kept
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"`output` has {path}, which cannot be read: {error}") from error
    raise InputError(f"`output` has {path}, which is no run of search.curves")


def check_runs(
    runs: Sequence[Kept],
    of: Mapping[str, Any],
    wanted: Collection[tuple[str, int]],
    evaluations: int,
) -> None:
    """Check that the runs of a folder have these settings.

    Args:
        runs: the runs of a folder.
        of: the settings common to all runs.
        wanted: the methods and seeds to run; other runs may have another number of evaluations.
        evaluations: the number of evaluations of the wanted runs.

    Raises:
        InputError: a setting differs; the message gives both values.
    """
    for kept in runs:
        run, pairs = kept["run"], [(name, kept["of"].get(name), of[name]) for name in of]
        if (run["method"], run["seed"]) in wanted:
            pairs.append(("evaluations", run["limit"], evaluations))
        for name, then, now in pairs:
            if then != now:
                raise InputError(
                    f"`output` holds runs with {name} {then}, but now it is {now}: give another "
                    "folder, or the same settings"
                )


def check_content(runs: Sequence[Kept], content: Mapping[str, str]) -> None:
    """Check that the runs of a folder are of this model and these windows.

    Args:
        runs: the runs of a folder; one that names no fingerprint is taken as it is.
        content: fingerprints, by name.

    Raises:
        InputError: a fingerprint differs.
    """
    for kept in runs:
        for name, now in content.items():
            if kept["of"].get(name, now) != now:
                raise InputError(
                    f"`output` holds runs with another {name}: give another folder, or the text "
                    "and the model that they had"
                )


def report_of(runs: Sequence[Kept], of: Mapping[str, Any]) -> dict[str, Any]:
    """Join all runs to one report; a folder may have been filled on several machines."""
    return {
        "settings": of,
        "runs": [
            {**kept["run"], **{n: v for n, v in kept.items() if n not in ("of", "run")}}
            for kept in runs
        ],
    }


def steps(events: Iterable[Event]) -> list[Event]:
    """The events at which the best loss improved; they define the curve."""
    found: list[Event] = []
    for event in events:
        if event[2] is not None and (not found or event[2] != found[-1][2]):
            found.append(event)
    return found
