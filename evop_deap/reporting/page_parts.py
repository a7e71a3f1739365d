"""The parts that a report's page is made of: tables that sort, and figures that are also tables."""

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
        name: its heading.
        shown: how a number in it is written.
    """

    name: str
    shown: Callable[[float], str] = number


@dataclass(frozen=True)
class Table:
    """Rows under headings; numbers are kept as numbers, so that they sort.

    Example:
        >>> Table(("block", Column("loss")), [("a<b", 1.5)]).html("losses").count("<td")
        2
    """

    columns: Sequence[Column | str]
    rows: Sequence[Sequence[Value]]

    def html(self, caption: str) -> str:
        """A table whose headings are buttons; the caption is read out and not seen."""
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
    """A figure with its alternative text, and the same as a table to unfold.

    Args:
        name: unlike that of any other figure on the page.
        title: heading.
        alt: what one would see.
        drawing: HTML that is one picture, from `plot` or hand-made.
        table: the same numbers.
        note: what a reader has to know, as text.
        wide: whether it takes a row of its own.
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
    """A Plotly figure that the page's script draws.

    Args:
        traces: as Plotly takes them; colours may be variables of the theme.
        layout: likewise.
        more: `choices`, what the horizontal axis may show: for each a `label`, a `title` and
            `x`, a list a trace.
    """
    spec = json.dumps(_plain({"data": traces, "layout": layout, **more}), allow_nan=False)
    height = int(layout.get("height", 340))
    # Nothing in a script's text ends it, whatever the names of models and documents are.
    safe = spec.replace("<", "\\u003c")
    return (
        f'<div class="plot" style="height:{height}px"></div>'
        f'<script type="application/json">{safe}</script>'
    )


def section(name: str, title: str, *content: str) -> str:
    """A part of the page under a heading of its own; nothing where there is no content."""
    inside = "".join(content)
    if not inside:
        return ""
    heading = f'<h2 id="{name}-title">{escaped(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}{inside}</section>'


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escaped(text)}</p>"


def escaped(text: object) -> str:
    """Text that is only text, also within an attribute."""
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
    """JSON has no infinity and no NaN: a gap stands for both."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return finite_or_none(value)
