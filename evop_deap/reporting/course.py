"""The course of the search: best and spread of loss, and the accuracy of the surrogate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evop_deap.base.formatting import counted, number
from evop_deap.base.numbers import perplexity
from evop_deap.reporting.axes import log_axis, reference_line
from evop_deap.reporting.named_units import label_of
from evop_deap.reporting.page_parts import Table, figure, plot
from evop_deap.reporting.theme import run_colour
from evop_deap.runs.storage.loaded_run import Run

_AXES = {"evaluations": "patterns evaluated", "cost": "dense forward passes", "gen": "generation"}


def course_figure(runs: Sequence[Run]) -> str:
    """Return a figure of best, mean and worst survivor over evaluations, cost or generations."""
    shown = [(place, run) for place, run in enumerate(runs) if run.rows]
    if not shown:
        return ""
    one = len(runs) == 1
    perplexities = all(run.settings.get("fitness", "ce") == "ce" for _, run in shown)
    value = perplexity if perplexities else _same
    asked = any("answers" in run.settings.get("fitness", "ce") for _, run in shown)
    what = "perplexity" if perplexities else "loss, nats" if asked else "loss, nats a token"
    traces: list[dict[str, Any]] = []
    xs: dict[str, list[list[Any]]] = {axis: [] for axis in _AXES}
    rows: list[tuple[str | float | None, ...]] = []
    said = []
    for place, run in shown:
        name, colour = label_of(runs, place), run_colour(place)
        best, mean, worst = ([value(row[k]) for row in run.rows] for k in ("min", "avg", "max"))
        for axis, places in xs.items():
            places += [[row[axis] for row in run.rows]] * 3
        traces += _lines("best" if one else name, colour, best, mean, worst)
        rows += [
            (name, row["gen"], row["evaluations"], row["cost"], *values, row["diversity"])
            for row, *values in zip(run.rows, best, mean, worst, strict=True)
        ]
        said.append(
            f"{name}: best {what} from {number(best[0])} to {number(best[-1])} in "
            f"{counted(run.rows[-1]['gen'], 'generation')}."
        )
    layout = {
        "height": 380,
        "xaxis": {"title": _AXES["evaluations"]},
        "yaxis": {"title": f"calibration {what}", **_range(traces, perplexities)},
    }
    choices = [{"label": title, "title": title, "x": xs[axis]} for axis, title in _AXES.items()]
    columns = ("run", "generation", "patterns", "cost", "best", "mean", "worst", "diversity")
    return figure(
        "course",
        "Best and spread by generation",
        alt=" ".join(said),
        drawing=plot(traces, layout, choices=choices),
        table=Table(columns, rows),
        note="The line is the best survivor, the band extends to the worst, the dots are the mean.",
        wide=True,
    )


def foresight_figure(runs: Sequence[Run]) -> str:
    """Return a figure of the surrogate's accuracy; nothing without a surrogate."""
    traces, rows, said = [], [], []
    for place, run in enumerate(runs):
        known = [row for row in run.rows if "fit" in row]
        if not known:
            continue
        name, colour = label_of(runs, place), run_colour(place)
        for key, title, dash in (
            ("fit", "rank correlation", "solid"),
            ("cover", "coverage", "dash"),
        ):
            traces.append(
                {
                    "name": title if len(runs) == 1 else f"{name}, {title}",
                    "x": [row["gen"] for row in known],
                    "y": [row[key] for row in known],
                    "mode": "lines",
                    "line": {"color": colour, "dash": dash, "width": 2},
                }
            )
        rows += [
            (name, row["gen"], row["fit"], row["cover"], "yes" if row["trusted"] else "no")
            for row in known
        ]
        trusted = sum(bool(row["trusted"]) for row in known)
        said.append(f"{name}: trusted in {trusted} of {counted(len(known), 'generation')}.")
    if not traces:
        return ""
    layout = {
        "height": 300,
        "xaxis": {"title": "generation"},
        "yaxis": {"range": [-1.05, 1.05], "dtick": 0.5, "zeroline": True},
        "shapes": [reference_line(0.9)],
    }
    return figure(
        "foresight",
        "Accuracy of the surrogate",
        alt=" ".join(said),
        drawing=plot(traces, layout),
        table=Table(("run", "generation", "rank correlation", "coverage", "trusted"), rows),
        note=(
            "Leave-one-out predictions of known losses: rank correlation (1 is perfect), and the "
            "coverage of intervals that should hold a share of 0.9 (dotted)."
        ),
    )


def _lines(
    name: str, colour: str, best: Sequence[Any], mean: Sequence[Any], worst: Sequence[Any]
) -> list[dict[str, Any]]:
    shape = {"shape": "hv"}
    said = "%{y:.3f}<extra>%{fullData.name}</extra>"
    lines: list[dict[str, Any]] = [
        {
            "name": f"{name}: worst survivor",
            "y": worst,
            "mode": "lines",
            "line": {"width": 0, **shape},
            "showlegend": False,
            "hoverinfo": "skip",
        },
        {
            "name": name,
            "y": best,
            "mode": "lines",
            "line": {"color": colour, "width": 2.5, **shape},
            "fill": "tonexty",
            "fillcolor": f"{colour}/.16",
            "hovertemplate": f"best {said}",
        },
        {
            "name": f"{name}: mean of survivors",
            "y": mean,
            "mode": "markers",
            "marker": {"color": f"{colour}/.7", "size": 4},
            "showlegend": False,
            "hovertemplate": f"mean {said}",
        },
    ]
    return lines


def _range(traces: Sequence[Mapping[str, Any]], logarithmic: bool) -> dict[str, Any]:
    """Return an axis for the best losses; bad survivors of early generations are cut off."""
    best = [y for trace in traces[1::3] for y in trace["y"] if y is not None and math.isfinite(y)]
    if not best:
        return {}
    if logarithmic:
        return log_axis(best, below=0.15, above=0.35)
    low, high = min(best), max(best)
    room = max(0.1, high - low) * 0.35
    return {"range": [low - room / 2, high + room]}


def _same(value: float | None) -> float | None:
    return value
