"""The units of a run by their kinds, in their order, and how they are called."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.base.formatting import plural
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.space.unit_names import granularity_of, kind_of


def unit_names(run: Run) -> tuple[str, ...]:
    """All units of a run's space; nothing where the run has not said yet."""
    if run.result is not None:
        return tuple(unit["name"] for unit in run.result.units)
    for row in reversed(run.rows):
        if "drops" in row:
            return tuple(row["drops"])
    return ()


def dropped_names(run: Run) -> tuple[str, ...]:
    """The units of the pattern found, or of the best so far."""
    if run.result is not None:
        return run.result.dropped
    return tuple(run.rows[-1].get("dropped", ())) if run.rows else ()


def rows_of_units(names: Sequence[str]) -> dict[str, list[str]]:
    """Units by their kind: one row of blocks, or one of each kind of sublayer.

    Example:
        >>> rows_of_units(["0.attn", "0.mlp", "1.attn", "1.mlp"])
        {'attn': ['0.attn', '1.attn'], 'mlp': ['0.mlp', '1.mlp']}
    """
    rows: dict[str, list[str]] = {}
    for name in names:
        rows.setdefault(kind_of(name), []).append(name)
    return rows


def noun(names: Sequence[str]) -> str:
    """What the units are: blocks or halves."""
    return plural(granularity_of(names))


def label_of(runs: Sequence[Run], place: int) -> str:
    """What tells a run from those beside it: its folder's name, or more of its path."""
    run = runs[place]
    names = [other.folder.resolve().name for other in runs]
    name = names[place]
    return name if names.count(name) == 1 else str(run.folder)
