"""The result files of a board: one for each finished cell, all of the same protocol.

A file is JSON: `protocol`, the settings common to all cells of a folder; `cell`; `found`, the
dropped units and the cost of finding them; `judged`, the evaluation of the pruned model by window
and question; versions, machine, date and commit.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import write_text

Run = Mapping[str, Any]

WIKI, HELDOUT = "wiki", "heldout"
"""The roles of a text on the board."""

_PARTS = ("protocol", "cell", "found", "judged")


def path_of(folder: Path, name: str) -> Path:
    """The file of the cell with this name."""
    return folder / f"{name}.json"


def read_runs(folder: Path) -> list[Run]:
    """Read all finished runs of a folder, in order of their names; none if there is no folder.

    Raises:
        InputError: a file is not a run.
    """
    # A file that is being written has a name that begins with a dot.
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    return [read_run(path) for path in paths]


def read_run(path: Path) -> Run:
    """Read a finished run.

    Raises:
        InputError: the file is not a run.
    """
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"`output` has {path}, which cannot be read: {error}") from error
    if not isinstance(run, dict) or not set(_PARTS) <= set(run):
        raise InputError(f"`output` has {path}, which is no run of a board")
    return run


def check_protocol(
    runs: Sequence[Run], protocol: Mapping[str, Any], argument: str = "output"
) -> None:
    """Check that all runs have this protocol; `argument` is the user's name for their folder.

    Raises:
        InputError: a setting differs; the message gives both values.
    """
    # As read from a file: lists for tuples.
    now = dict(_flat(json.loads(json.dumps(protocol))))
    for run in runs:
        then = dict(_flat(run["protocol"]))
        for name in {**then, **now}:
            if then.get(name) != now.get(name):
                raise InputError(
                    f"`{argument}` holds runs with {name} {_said(then.get(name))}, but now it is "
                    f"{_said(now.get(name))}: give another folder, or the same settings"
                )


def comparable(run: Run, own: Collection[str], text: Collection[str]) -> Run:
    """Return the run with those settings alone that boards must share to be compared.

    Args:
        run: a run.
        own: settings that may differ.
        text: settings of the calibration text that may not.
    """
    protocol = {name: value for name, value in run["protocol"].items() if name not in own}
    protocol["calibration"] = {name: protocol["calibration"][name] for name in text}
    if "compensate" in protocol:
        protocol["compensate"] = protocol["compensate"]["form"]
    return {**run, "protocol": protocol}


def check_one_budget(runs: Sequence[Run]) -> None:
    """Check that all runs drop the same share of the same units.

    Raises:
        InputError: they do not.
    """
    found = {(run["cell"]["granularity"], run["cell"]["sparsity"]) for run in runs}
    if len(found) > 1:
        told = ", ".join(f"{share:g} by {unit}" for unit, share in sorted(found))
        raise InputError(f"`output` holds cells of several budgets: {told}; give each a folder")


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries and lists under dotted names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{place}")
    else:
        yield name, value


def _said(value: Any) -> str:
    return "unset" if value is None else str(value)


def write_run(folder: Path, name: str, run: Run) -> None:
    """Write a finished run to its file, atomically.

    Raises:
        OutputError: it cannot be written.
    """
    parts = []
    for key, value in run.items():
        inner = value.items() if isinstance(value, dict) else None
        parts.append(f"{_text(key)}: " + (_text(value) if inner is None else _lines(inner)))
    write_text(path_of(folder, name), "{\n" + ",\n".join(parts) + "\n}\n")


def _lines(items: Any) -> str:
    """JSON with a line for each entry: small files with readable diffs."""
    lines = []
    for key, value in items:
        many = isinstance(value, list) and value and isinstance(value[0], dict)
        shown = "[\n   " + ",\n   ".join(map(_text, value)) + "]" if many else _text(value)
        lines.append(f"  {_text(key)}: {shown}")
    return "{\n" + ",\n".join(lines) + "}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
