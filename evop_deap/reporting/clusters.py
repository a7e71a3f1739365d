"""The calibration text: a map of its clusters and the windows drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evop_deap.base.formatting import counted
from evop_deap.calibration.cluster_map import colour_of
from evop_deap.reporting.named_units import label_of
from evop_deap.reporting.page_parts import Table, figure, paragraph, plot
from evop_deap.runs.storage.loaded_run import Run

_COLUMNS = ("cluster", "documents", "tokens", "windows drawn", "words", "central text")


def clusters_figures(runs: Sequence[Run]) -> str:
    """Return a map for each distinct calibration set; without clusters, a sentence."""
    parts: dict[str, str] = {}
    for place, run in enumerate(runs):
        if run.calibration is None:
            continue
        key = str(run.calibration["calibration"]["fingerprint"])
        if key not in parts:
            parts[key] = _part(run.calibration, place, label_of(runs, place), len(runs) > 1)
    return "".join(parts.values())


def _part(manifest: Mapping[str, Any], place: int, name: str, several: bool) -> str:
    drawn = manifest["calibration"]
    said = (
        f"{counted(len(drawn['windows']), 'window')} of {manifest['window']} tokens were drawn "
        f"from {len(drawn['documents'])} of the {manifest['corpus']['documents']:,} documents of "
        f"{manifest['corpus']['name']}"
    )
    clustering = manifest.get("clustering")
    if clustering is None:
        table = Table(
            ("document", "windows", "SHA-256"),
            [(d["id"], len(d["windows"]), d["sha256"][:12]) for d in drawn["documents"]],
        )
        listing = f"<details id=documents-{place}><summary>The documents</summary>"
        listing += f"{table.html('Documents calibrated on')}</details>"
        return paragraph(f"{said}, uniformly.") + listing
    clusters = clustering["clusters"]
    rows = [
        (_name(c), c["documents"], c["tokens"], c["windows"], ", ".join(c["words"]), c["sample"])
        for c in clusters
    ]
    spots = clustering.get("map")
    if spots is None:  # the set was made without a map
        return paragraph(f"{said}, by clusters.") + Table(_COLUMNS, rows).html("Clusters")
    beside = f", {name}" if several else ""
    return figure(
        f"clusters-{place}",
        f"Documents and clusters{beside}",
        alt=(
            f"Map of the documents in {counted(len(clusters), 'cluster')}; documents used are "
            "ringed."
        ),
        drawing=plot(_traces(spots, clusters), _layout()),
        table=Table(_COLUMNS, rows),
        note=f"{said}. Similar documents are close together; documents used are ringed.",
        wide=True,
    )


def _traces(spots: Mapping[str, Any], clusters: Sequence[Mapping[str, Any]]) -> list[Any]:
    columns = {n: [int(v) for v in spots[n].split()] for n in ("x", "y", "cluster", "heard")}
    points = list(zip(*columns.values(), strict=True))
    traces: list[dict[str, Any]] = []
    for cluster in clusters:
        label, name = cluster["cluster"], _name(cluster)
        some = [point for point in points if point[2] == label]
        words = ", ".join(cluster["words"][:3])
        traces.append(
            {
                "name": f"{name}: {words}" if words else name,
                "x": [point[0] for point in some],
                "y": [point[1] for point in some],
                "mode": "markers",
                "marker": {
                    "color": colour_of(label),
                    "size": [11 if point[3] else 6 for point in some],
                    "opacity": 0.85,
                    "line": {"color": "--text", "width": [2 if point[3] else 0 for point in some]},
                },
                "hovertemplate": "%{fullData.name}<extra></extra>",
            }
        )
    return traces


def _layout() -> dict[str, Any]:
    bare = {"visible": False, "range": [-40, 1040]}
    legend = {"orientation": "h", "y": -0.02, "yanchor": "top", "font": {"size": 11}}
    return {
        "height": 560,
        "xaxis": bare,
        "yaxis": bare,
        "showlegend": True,
        "legend": legend,
        "hovermode": "closest",
    }


def _name(cluster: Mapping[str, Any]) -> str:
    return "noise" if cluster["cluster"] < 0 else f"cluster {cluster['cluster']}"
