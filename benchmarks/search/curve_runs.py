"""The runs of `search.curves` as files: each says what it is a run of, and where it was made."""

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
"""Versions, machine, date and commit; `of`, the settings; and `run`, what came out."""

Event = tuple[int, float, float | None]
"""Patterns so far, cost so far, and the best loss by then; None before there is any."""


def path_of(folder: Path, method: str, seed: int) -> Path:
    """The file of a run."""
    return folder / f"{method.replace(', ', '-').replace(' ', '-')}.{seed}.json"


def write_run(folder: Path, of: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Put a finished run into its file.

    Raises:
        OutputError: it cannot be written.
    """
    kept = {**circumstances(), "of": of, "run": run}
    write_json(path_of(folder, run["method"], run["seed"]), kept)


def read_runs(folder: Path) -> list[Kept]:
    """The finished runs of a folder by method and seed; none where there is no folder.

    Raises:
        InputError: a file that is no run.
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
    """Refuse to put runs beside those of other settings.

    Args:
        runs: of a folder.
        of: the settings that all have in common.
        wanted: methods and seeds that are asked for; how long others go on may differ.
        evaluations: how long these go on.

    Raises:
        InputError: a setting that differs, what it was and what it is.
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


def report_of(runs: Sequence[Kept], of: Mapping[str, Any]) -> dict[str, Any]:
    """All runs as one, for a folder may be filled on several machines each with its own."""
    return {
        "settings": of,
        "runs": [
            {**kept["run"], **{n: v for n, v in kept.items() if n not in ("of", "run")}}
            for kept in runs
        ],
    }


def steps(events: Iterable[Event]) -> list[Event]:
    """The events at which something better was found: all that a curve is made of."""
    found: list[Event] = []
    for event in events:
        if event[2] is not None and (not found or event[2] != found[-1][2]):
            found.append(event)
    return found
