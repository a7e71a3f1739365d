"""A map of clusters and drawn documents, as a self-contained HTML page and as an image."""

from __future__ import annotations

import colorsys
import html
import importlib.util
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.calibration.cluster_words import sample_line
from evop_deap.calibration.map_places import places_of

if TYPE_CHECKING:
    from evop_deap.calibration.ccds import Stratification
    from evop_deap.calibration.strata import StratifiedWindows

_SIDE = 640
_MARGIN = 14
_NOISE_COLOUR = "#9a9a9a"
_GOLDEN_ANGLE = 137.508


@dataclass(frozen=True, eq=False)
class ClusterMap:
    """The points of the map, and the page.

    Attributes:
        places: (points, 2) in a square of side 1, y upwards; near points are similar documents,
            large distances mean little.
        labels: (points,) cluster of each; -1 is noise.
        drawn: (points,) whether a window holds a part of the document.
        html: a standalone page with the map and a table.
    """

    places: NDArray[np.float64]
    labels: NDArray[np.int64]
    drawn: NDArray[np.bool_]
    html: str


def cluster_map(found: Stratification, drawn: StratifiedWindows) -> ClusterMap:
    """Return a map of the clustered documents in two dimensions.

    Of more than 4,000 documents it shows an even subset and all those in windows.
    """
    places = places_of(found, drawn)
    texts = [sample_line(found.documents[i].text, 80) for i in places.documents.tolist()]
    rows = [
        {**entry, "windows": int((drawn.labels == entry["cluster"]).sum())}
        for entry in found.about["clusters"]
    ]
    page = _page(places.at, places.labels, places.drawn, texts, rows)
    return ClusterMap(places.at, places.labels, places.drawn, page)


def map_image(picture: ClusterMap) -> bytes | None:
    """Return the map as a PNG; None if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 7), layout="constrained")
    axes = figure.subplots()
    for label in np.unique(picture.labels).tolist():
        name = "noise" if label < 0 else f"cluster {label}"
        some = picture.places[picture.labels == label]
        axes.scatter(
            some[:, 0], some[:, 1], s=6, color=colour_of(label), alpha=0.6, linewidths=0, label=name
        )
    drawn = picture.places[picture.drawn]
    axes.scatter(
        drawn[:, 0],
        drawn[:, 1],
        s=36,
        facecolors="none",
        edgecolors="black",
        linewidths=1,
        label="drawn",
    )
    axes.set(xticks=[], yticks=[], aspect="equal")
    if len(np.unique(picture.labels)) <= 24:
        axes.legend(fontsize=6, markerscale=1.5, frameon=False, loc="best")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def colour_of(label: int) -> str:
    """Return the colour of a cluster, grey for noise; consecutive labels differ strongly."""
    if label < 0:
        return _NOISE_COLOUR
    hue = (label * _GOLDEN_ANGLE) % 360 / 360
    red, green, blue = colorsys.hls_to_rgb(hue, 0.5 if label % 2 else 0.6, 0.65)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _page(
    places: NDArray[np.float64],
    labels: NDArray[np.int64],
    drawn: NDArray[np.bool_],
    texts: list[str],
    rows: list[dict[str, Any]],
) -> str:
    circles = []
    room = _SIDE - 2 * _MARGIN
    # Drawn documents are on top.
    for i in sorted(range(len(labels)), key=lambda i: bool(drawn[i])):
        x, y = _MARGIN + room * places[i, 0], _SIDE - _MARGIN - room * places[i, 1]
        ring = ' class="drawn" r="4.5"' if drawn[i] else ' r="2.5"'
        circles.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}"{ring} fill="{colour_of(int(labels[i]))}">'
            f"<title>{html.escape(texts[i])}</title></circle>"
        )
    table = "\n".join(_row(entry) for entry in rows)
    return _TEMPLATE.format(side=_SIDE, circles="\n".join(circles), rows=table)


def _row(entry: dict[str, Any]) -> str:
    label = int(entry["cluster"])
    cells = [
        f'<i style="background:{colour_of(label)}"></i>{"noise" if label < 0 else label}',
        f"{entry['documents']:,}",
        f"{entry['tokens']:,}",
        f"{entry['windows']:,}",
        html.escape(", ".join(entry["words"])),
        html.escape(entry["sample"]),
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Calibration clusters</title>
<style>
:root {{ color-scheme: light dark; --text: #1c1c1c; --page: #ffffff; --line: #d8d8d8; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --text: #e6e6e6; --page: #161616; --line: #3a3a3a; }}
}}
body {{ margin: 2rem; font: 14px/1.45 system-ui, sans-serif; color: var(--text);
  background: var(--page); }}
main {{ display: flex; flex-wrap: wrap; gap: 2rem; align-items: flex-start; }}
svg {{ width: min(100%, {side}px); border: 1px solid var(--line); }}
circle {{ fill-opacity: .55; }}
circle.drawn {{ fill-opacity: 1; stroke: var(--text); stroke-width: 1.5; }}
table {{ border-collapse: collapse; flex: 1 1 30rem; }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem .6rem;
  border-bottom: 1px solid var(--line); }}
td:nth-child(-n+4) {{ font-variant-numeric: tabular-nums; white-space: nowrap; }}
i {{ display: inline-block; width: .7em; height: .7em; border-radius: 50%;
  margin-right: .4em; }}
</style>
</head>
<body>
<main>
<svg viewBox="0 0 {side} {side}" role="img" aria-label="Documents by cluster">
{circles}
</svg>
<table>
<caption>Documents in the calibration windows have a ring.</caption>
<thead><tr><th>cluster</th><th>documents</th><th>tokens</th><th>windows</th><th>words</th>
<th>from its middle</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</main>
</body>
</html>
"""
