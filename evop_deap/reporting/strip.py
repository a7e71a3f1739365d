"""A pattern as a strip of cells: one row of blocks, or two rows of halves."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from evop_deap.base.formatting import listed
from evop_deap.reporting.named_units import dropped_names, label_of, noun, rows_of_units, unit_names
from evop_deap.reporting.page_parts import Table, escaped, figure
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.runs.storage.result import naming
from evop_deap.space.unit_names import ATTENTION, BLOCK, MLP, block_of, kind_of

_NUMBERED = 40  # most cells with room for a number in each
_TITLES = {ATTENTION: "attention", MLP: "MLP"}


def pattern_figure(runs: Sequence[Run]) -> str:
    """Return the strips of all runs, of their close patterns and of the picks of heuristics."""
    drawings, rows, said = [], [], []
    for place, run in enumerate(runs):
        names, dropped = unit_names(run), dropped_names(run)
        if not names:
            continue
        title = label_of(runs, place) if len(runs) > 1 else "found" if run.result else "best so far"
        drawings.append(strip(names, dropped, title))
        said.append(f"{title} drops {listed(dropped)} of {len(names)} {noun(names)}.")
        finalists = run.result.finalists if run.result else ()
        # The pattern found is a close pattern too, and not always the best in the search.
        behind = (finalists[0]["behind"], finalists[0]["error"]) if finalists else (None, None)
        rows.append((title, ", ".join(dropped), *behind))
        for rank, one in enumerate(finalists[1:], start=2):
            drawings.append(strip(names, one["dropped"], f"{rank}", near=True))
            gone = ", ".join(one["dropped"])
            rows.append((f"{title}, {rank}", gone, one["behind"], one["error"]))
        for pick in run.result.heuristics if run.result else ():
            drawings.append(strip(names, pick.dropped, pick.name, near=True, ruled=True))
            rows.append((f"{title}, by {pick.name}", ", ".join(pick.dropped), None, None))
    if not drawings:
        return ""
    others = any(run.result and len(run.result.finalists) > 1 for run in runs)
    note = "Kept units are blue; dropped units are short and orange."
    if others:
        note += (
            " Thin strips with numbers are the other close patterns: in the search, within three "
            "standard errors of the best."
        )
    if len(runs) == 1 and runs[0].result:
        note += "".join(f" The pattern found was {said}." for said in naming(runs[0].result))
    if any(run.result and run.result.heuristics for run in runs):
        note += " Strips with names are the picks of heuristics, with which the search began."
    return figure(
        "pattern",
        "The pattern",
        alt=" ".join(said),
        drawing=f'<div class="strips">{"".join(drawings)}</div>',
        table=Table(("pattern", "dropped", "nats behind the best", "standard error"), rows),
        note=note,
        wide=True,
    )


def strip(
    names: Sequence[str],
    dropped: Collection[str],
    title: str,
    *,
    near: bool = False,
    ruled: bool = False,
) -> str:
    """Return one strip; `near` is thin without numbers, `ruled` has room for a long name."""
    gone = set(dropped)
    rows = []
    for kind, units in rows_of_units(names).items():
        cells = "".join(_cell(unit, unit in gone) for unit in units)
        many = " many" if len(units) > _NUMBERED else ""
        said = f'<span class="half">{escaped(_TITLES.get(kind, kind))}</span>'
        rows.append(f'<div class="cells{many}">{"" if kind == BLOCK else said}{cells}</div>')
    classes = f"strip{' near' if near else ''}{' ruled' if ruled else ''}"
    return (
        f'<div class="{classes}"><span class="strip-name">{escaped(title)}</span>'
        f'<div class="strip-rows">{"".join(rows)}</div></div>'
    )


def _cell(unit: str, gone: bool) -> str:
    block, kind = block_of(unit), kind_of(unit)
    name = f"{_TITLES[kind]} of block {block}" if kind in _TITLES else f"block {unit}"
    said = f"{name}: {'dropped' if gone else 'kept'}"
    state = "gone" if gone else "kept"
    titled = f'data-says="{escaped(said)}" title="{escaped(said)}"'
    return f'<i class="{state}" {titled}>{escaped(block)}</i>'
