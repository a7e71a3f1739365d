"""The parts of a report's page: sortable tables, and figures with a table of their values."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evop_deap.base.formatting import NOTHING, number
from evop_deap.base.numbers import finite_or_none

Value = str | float | None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: heading.
        shown: formats a number.
    """

    name: str
    shown: Callable[[float], str] = number


@dataclass(frozen=True)
class Table:
    """Rows below headings; numbers stay numbers, so that they can be sorted.

    Example:
        >>> Table(("block", Column("loss")), [("a<b", 1.5)]).html("losses").count("<td")
        2
    """

    columns: Sequence[Column | str]
    rows: Sequence[Sequence[Value]]

    def html(self, caption: str) -> str:
        """Return a table with buttons as headings, and a caption for screen readers only."""
        columns = [Column(c) if isinstance(c, str) else c for c in self.columns]
        head = "".join(
            f'<th scope="col"><button type="button">{escaped(column.name)}</button></th>'
            for column in columns
        )
        body = "".join(_row(row, columns) for row in self.rows)
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(caption)}">'
            f"<table><caption>{escaped(caption)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )


def figure(
    name: str,
    title: str,
    *,
    alt: str,
    drawing: str,
    table: Table,
    note: str = "",
    wide: bool = False,
) -> str:
    """Return a figure with an alternative text and a table of its values.

    Args:
        name: unique id on the page.
        title: heading.
        alt: description of the picture.
        drawing: HTML of the picture, from `plot` or elsewhere.
        table: values of the figure.
        note: explanation as plain text.
        wide: whether the figure takes a whole row.
    """
    said = f'<p class="note">{escaped(note)}</p>' if note else ""
    return (
        f'<figure id="{name}"{" class=wide" if wide else ""}>'
        f"<figcaption><h3>{escaped(title)}</h3>{said}</figcaption>"
        f'<div class="picture" role="group" tabindex="0" aria-label="{escaped(alt)} '
        f'Arrow keys read out the values.">{drawing}</div>'
        f'<p class="readout" aria-live="polite"></p>'
        f'<details id="{name}-table"><summary>The same as a table</summary>'
        f"{table.html(title)}</details></figure>"
    )


def plot(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], **more: Any) -> str:
    """Return a Plotly figure that the page's script draws.

    Args:
        traces: Plotly traces; colours may be variables of the theme.
        layout: Plotly layout, with the same colours.
        more: `choices` of the horizontal axis, each with a `label`, a `title` and `x`, a list for
            each trace.
    """
    spec = json.dumps(_plain({"data": traces, "layout": layout, **more}), allow_nan=False)
    height = int(layout.get("height", 340))
    # Escape "<", so that no name of a model or document can end the script element.
    safe = spec.replace("<", "\\u003c")
    return (
        f'<div class="plot" style="height:{height}px"></div>'
        f'<script type="application/json">{safe}</script>'
    )


def section(name: str, title: str, *content: str) -> str:
    """Return a section with a heading; nothing without content."""
    inside = "".join(content)
    if not inside:
        return ""
    heading = f'<h2 id="{name}-title">{escaped(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}{inside}</section>'


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escaped(text)}</p>"


def escaped(text: object) -> str:
    """Return text escaped for HTML and for attributes."""
    return html.escape(str(text), quote=True)


def _row(row: Sequence[Value], columns: Sequence[Column]) -> str:
    cells = "".join(_cell(value, column) for value, column in zip(row, columns, strict=True))
    return f"<tr>{cells}</tr>"


def _cell(value: Value, column: Column) -> str:
    if value is None:
        return f'<td class="number">{NOTHING}</td>'
    if isinstance(value, str):
        return f"<td>{escaped(value)}</td>"
    return f'<td class="number" data-sort="{value}">{escaped(column.shown(value))}</td>'


def _plain(value: Any) -> Any:
    """Return the value with None for infinity and NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return finite_or_none(value)
