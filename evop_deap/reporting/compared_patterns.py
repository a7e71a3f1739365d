"""Differences of the pattern found from the runner-up and from the picks of heuristics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evop_deap.base.formatting import listed
from evop_deap.reporting.axes import reference_line
from evop_deap.reporting.named_units import label_of
from evop_deap.reporting.page_parts import Table, figure, plot
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.runs.storage.result import SearchResult
from evop_deap.runs.storage.text_losses import PairedLoss, Rival

_TEXTS = {"heldout": ("held-out", "--accent"), "calibration": ("calibration", "--muted")}


def rivals_figures(runs: Sequence[Run]) -> str:
    """Return a figure for each run with other patterns to compare."""
    return "".join(
        _figure(runs, place, run.result)
        for place, run in enumerate(runs)
        if run.result is not None and rivals_of(run.result)
    )


def rivals_of(result: SearchResult) -> list[Rival]:
    """Return the distinct patterns to compare with the pattern found."""
    found: dict[tuple[str, ...], Rival] = {}
    for rival in (*result.heuristics, result.runner_up):
        if rival is not None and rival.dropped != result.dropped:
            found.setdefault(rival.dropped, rival)
    return list(found.values())


def _figure(runs: Sequence[Run], place: int, result: SearchResult) -> str:
    rivals = rivals_of(result)
    traces = [_points(rivals, text) for text in _TEXTS]
    layout = {
        "height": 300,
        "xaxis": {"title": "difference, nats a token"},
        "yaxis": {"type": "category", "automargin": True, "autorange": "reversed"},
        # The two texts of a pattern are below each other.
        "scattermode": "group",
        "scattergap": 0.7,
        "shapes": [reference_line(0.0, upright=True)],
    }
    said = [f"On {_TEXTS['heldout'][0]} text the pattern found is"]
    said.append(listed([f"{rival.heldout.said} {rival.name}" for rival in rivals]) + ".")
    both = " All are compensated, as in the search." if rivals[0].compensated else ""
    rows = [_row(rival, text) for rival in rivals for text in _TEXTS]
    beside = f", {label_of(runs, place)}" if len(runs) > 1 else ""
    return figure(
        f"rivals-{place}",
        f"Against heuristics and the runner-up{beside}",
        alt=" ".join(said),
        drawing=plot(traces, layout),
        table=Table(
            ("against", "text", "perplexity", "difference", "standard error", "dropped"), rows
        ),
        note=(
            "Left of 0 the pattern found is better. Bars are one standard error of the paired "
            f"difference over windows.{both}"
        ),
    )


def _points(rivals: Sequence[Rival], text: str) -> dict[str, Any]:
    name, colour = _TEXTS[text]
    comparisons: list[PairedLoss] = [getattr(rival, text) for rival in rivals]
    return {
        "name": name,
        "x": [beside.difference for beside in comparisons],
        "y": ["<br>".join(rival.names) or rival.name for rival in rivals],
        "orientation": "h",
        "error_x": {
            "type": "data",
            "array": [beside.error or 0.0 for beside in comparisons],
            "color": f"{colour}/.5",
            "thickness": 3,
            "width": 0,
        },
        "mode": "markers",
        "marker": {
            "size": 11,
            "color": colour,
            "symbol": "circle" if text == "heldout" else "circle-open",
            "line": {"width": 2, "color": colour},
        },
        "hovertemplate": "%{y}: %{x:.3f} nats<extra>%{fullData.name}</extra>",
    }


def _row(rival: Rival, text: str) -> tuple[str | float | None, ...]:
    other: PairedLoss = getattr(rival, text)
    gone = ", ".join(rival.dropped)
    return rival.name, _TEXTS[text][0], other.perplexity, other.difference, other.error, gone
