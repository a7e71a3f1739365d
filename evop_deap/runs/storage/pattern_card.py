"""A pattern as a notebook shows it: a sentence, the strip, and the figures; no script."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

from evop_deap.base.formatting import listed

# A notebook's own text colour is inherited; these two show on light and on dark.
_KEPT, _DROPPED = "#6f9bd1", "#d9622b"


def pattern_card(
    model: str,
    units: Sequence[str],
    dropped: Sequence[str],
    table: Sequence[Sequence[str]],
    notes: Sequence[str],
) -> str:
    """HTML that needs nothing around it.

    Args:
        model: what the model is called.
        units: names of all units, in their order.
        dropped: names of those that go.
        table: rows of cells below a row of headings; each row begins with its name.
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
    """A bar of the strip: short where the unit is dropped."""
    height, colour = (".35em", _DROPPED) if unit in dropped else ("1.2em", _KEPT)
    return (
        f'<span title="{escape(unit)}" style="display:inline-block;width:.55em;'
        f'height:{height};margin-right:2px;background:{colour}"></span>'
    )
