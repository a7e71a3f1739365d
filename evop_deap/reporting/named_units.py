"""The names and kinds of a run's units, and the labels of runs."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.base.formatting import plural
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.space.unit_names import granularity_of, kind_of


def unit_names(run: Run) -> tuple[str, ...]:
    """Return the units of a run's space; empty before the first generation."""
    if run.result is not None:
        return tuple(unit["name"] for unit in run.result.units)
    for row in reversed(run.rows):
        if "drops" in row:
            return tuple(row["drops"])
    return ()


def dropped_names(run: Run) -> tuple[str, ...]:
    """Return the units that the pattern found, or the best so far, drops."""
    if run.result is not None:
        return run.result.dropped
    return tuple(run.rows[-1].get("dropped", ())) if run.rows else ()


def rows_of_units(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the units by kind: one row of blocks, or one row for each kind of sublayer.

    Example:
        >>> rows_of_units(["0.attn", "0.mlp", "1.attn", "1.mlp"])
        {'attn': ['0.attn', '1.attn'], 'mlp': ['0.mlp', '1.mlp']}
    """
    rows: dict[str, list[str]] = {}
    for name in names:
        rows.setdefault(kind_of(name), []).append(name)
    return rows


def noun(names: Sequence[str], count: int | None = None) -> str:
    """Return the noun for so many of the units: blocks or halves, block or half for 1."""
    return plural(granularity_of(names), count)


def label_of(runs: Sequence[Run], place: int) -> str:
    """Return a label unique among the runs: the folder's name, or its path."""
    run = runs[place]
    names = [other.folder.resolve().name for other in runs]
    name = names[place]
    return name if names.count(name) == 1 else str(run.folder)
