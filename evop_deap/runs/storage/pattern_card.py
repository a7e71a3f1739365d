"""A pattern as HTML for notebooks: a sentence, the strip and a table, without a script."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

from evop_deap.base.formatting import listed

# Both colours are visible on light and dark; text inherits the notebook's colour.
_KEPT, _DROPPED = "#6f9bd1", "#d9622b"


def pattern_card(
    model: str,
    units: Sequence[str],
    dropped: Sequence[str],
    table: Sequence[Sequence[str]],
    notes: Sequence[str],
) -> str:
    """Return the card as self-contained HTML.

    Args:
        model: name of the model.
        units: names of all units, in their order.
        dropped: names of the dropped units.
        table: a row of headings, then rows that begin with their name.
        notes: lines below the table.
    """
    heads, *rows = table
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, *cells in rows
    )
    return (
        f"<div><p><b>{escape(model)}</b> without {escape(listed(dropped))}</p>"
        f'<p role="img" aria-label="{len(dropped)} of {len(units)} dropped">'
        f"{''.join(_cell(unit, set(dropped)) for unit in units)}</p>"
        f"<table><thead><tr>{head}</tr></thead>{body}</table>"
        f"<p>{'<br>'.join(map(escape, notes))}</p></div>"
    )


def _cell(unit: str, dropped: Collection[str]) -> str:
    """Return a bar of the strip, which is short if the unit is dropped."""
    height, colour = (".35em", _DROPPED) if unit in dropped else ("1.2em", _KEPT)
    return (
        f'<span title="{escape(unit)}" style="display:inline-block;width:.55em;'
        f'height:{height};margin-right:2px;background:{colour}"></span>'
    )
