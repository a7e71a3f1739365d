"""A plot of the curves of several reports: best perplexity against patterns and against cost."""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.search.curve_reports import Report, Run, by_method, named
from evop_deap.base.files import write_bytes

_AXES = (("evaluations", "patterns asked for", 0), ("cost", "cost, dense forward passes", 1))
_WORST = 2.5  # times the best: the upper edge of the plot
_COLOURS = {  # the default search, and what it is without racing or its first patterns
    "seeded, racing": "#b2182b",
    "surrogate, racing": "#ef6548",
    "seeded": "#fc8d59",
    "surrogate": "#fdbb84",
}
_OTHERS = ("#2166ac", "#4d9221", "#762a83", "#8c510a", "#01665e", "#4d4d4d", "#67a9cf", "#999999")


def draw_curves(reports: Sequence[Report], path: Path) -> None:
    """Draw a column for each report, with medians over seeds and the ends as points.

    Raises:
        OutputError: the picture cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    methods = dict.fromkeys(method for report in reports for method in by_method(report))
    others = iter(_OTHERS * len(methods))
    colours = {m: _COLOURS.get(m) or next(others) for m in methods}
    figure = Figure(figsize=(4.6 * len(reports), 6.6), layout="constrained")
    panels = figure.subplots(len(_AXES), len(reports), squeeze=False)
    for column, report in enumerate(reports):
        best = min(float(run["perplexity"]) for run in report["runs"])
        for row, (end, label, place) in enumerate(_AXES):
            panel = panels[row][column]
            for method, runs in by_method(report).items():
                _draw(panel, runs, end, place, colours[method], method)
            panel.set(xlabel=label, ylabel="best perplexity", yscale="log")
            panel.yaxis.set_major_formatter(ScalarFormatter())
            panel.yaxis.set_minor_formatter(ScalarFormatter())
            panel.set(ylim=(0.98 * best, _WORST * best), xlim=(0, None))
            panel.spines[["top", "right"]].set_visible(False)
        panels[0][column].set_title(named(report))
    handles = [panel.get_legend_handles_labels() for panel in panels[0]]
    known = {
        label: line for lines, labels in handles for line, label in zip(lines, labels, strict=True)
    }
    known = {method: known[method] for method in methods}
    figure.legend(
        [*known.values()], [*known], loc="outside lower center", ncols=6, frameon=False, fontsize=8
    )
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    write_bytes(path, drawn.getvalue())


def _draw(panel: Any, runs: Sequence[Run], end: str, place: int, colour: str, label: str) -> None:
    places = sorted({float(event[place]) for run in runs for event in run["events"]})
    last = statistics.median(float(run[end]) for run in runs)
    medians = [statistics.median(_seen(run, place, at) for run in runs) for at in places]
    known = [(at, math.exp(m)) for at, m in zip(places, medians, strict=True) if m < math.inf]
    final = statistics.median(float(run["perplexity"]) for run in runs)
    xs, ys = zip(*([point for point in known if point[0] < last] or [(last, final)]), strict=True)
    panel.step([*xs, last], [*ys, final], where="post", color=colour, label=label, linewidth=1.4)
    panel.plot(last, final, "o", color=colour, markersize=4)


def _seen(run: Run, place: int, at: float) -> float:
    """The best loss of a run up to this abscissa."""
    seen = [event[2] for event in run["events"] if event[place] <= at]
    return float(seen[-1]) if seen else math.inf
