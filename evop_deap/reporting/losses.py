"""How good the pruned model is: perplexity, dense and pruned, on both texts."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.reporting.parts import Column, Table, figure, plot
from evop_deap.reporting.theme import run_colour
from evop_deap.reporting.units import label_of
from evop_deap.reporting.words import millions, number
from evop_deap.run.reading import Run
from evop_deap.run.result import SearchResult, TextLoss

_TEXTS = {"calibration": "calibration", "heldout": "held-out"}


def losses_figure(runs: Sequence[Run]) -> str:
    """Bars of perplexity; nothing before a run has ended."""
    done = [(place, run.result) for place, run in enumerate(runs) if run.result is not None]
    if not done:
        return ""
    texts = list(_TEXTS.values())
    traces = []
    denses: set[tuple[float, ...]] = set()
    for place, result in done:
        dense = tuple(_texts(result)[name].perplexity["dense"] for name in _TEXTS)
        name = label_of(runs, place)
        if dense not in denses:  # runs on the same model and text have the same
            denses.add(dense)
            beside = f", as {name}" if len(done) > 1 and len(denses) > 1 else ""
            traces.append(_bars(f"dense{beside}", texts, dense, "--muted/.55"))
        pruned = tuple(_texts(result)[name].perplexity["pruned"] for name in _TEXTS)
        called = "pruned" if len(done) == 1 else name
        traces.append(_bars(called, texts, pruned, run_colour(place)))
    rows = [_row(label_of(runs, place), result, name) for place, result in done for name in _TEXTS]
    figures = " ".join(
        f"{row[0]}, {row[1]}: {number(row[3])} dense, {number(row[4])} pruned."  # type: ignore[arg-type]
        for row in rows
    )
    layout = {
        "height": 300,
        "barmode": "group",
        "bargap": 0.4,
        "xaxis": {"showgrid": False},
        "yaxis": {"title": "perplexity, lower is better", "rangemode": "tozero"},
    }
    columns = ("run", "text", "windows", "dense", "pruned", "ratio", Column("parameters", _count))
    return figure(
        "perplexity",
        "Perplexity, dense and pruned",
        alt=f"Bars of perplexity. {figures}",
        drawing=plot(traces, layout),
        table=Table(columns, rows),
        note="Held-out text is of documents that the search never saw.",
    )


def curve_figure(runs: Sequence[Run]) -> str:
    """Perplexity against parameters, where several runs pruned one model and judge it alike."""
    done = [(place, run.result) for place, run in enumerate(runs) if run.result is not None]
    judged = {(result.model_fingerprint, result.heldout.fingerprint) for _, result in done}
    if len(done) < 2 or len(judged) > 1:
        return ""
    dense = done[0][1]
    points = [("dense", dense.parameters["dense"], dense.heldout.perplexity["dense"])]
    points += [
        (label_of(runs, place), result.parameters["pruned"], result.heldout.perplexity["pruned"])
        for place, result in done
    ]
    points.sort(key=lambda point: (point[1], -point[2]))
    names, sizes, figures = zip(*points, strict=True)
    # A line leads from budget to budget; of runs at the same one it would lead nowhere.
    mode = "lines+markers+text" if len(set(sizes)) == len(sizes) else "markers+text"
    trace = {
        "x": [size / 1e6 for size in sizes],
        "y": figures,
        "text": names,
        "mode": mode,
        "line": {"width": 1.5, "color": "--accent/.5"},
        "textposition": "top center",
        "cliponaxis": False,
        "marker": {"size": 11, "color": "--accent"},
        "hovertemplate": "%{text}<br>%{x:.1f} M, perplexity %{y:.2f}<extra></extra>",
    }
    layout = {
        "height": 340,
        "xaxis": {"title": "million parameters"},
        "yaxis": {"title": "held-out perplexity"},
    }
    told = "; ".join(f"{n}: {millions(p)}, perplexity {number(f)}" for n, p, f in points)
    return figure(
        "curve",
        "What size costs",
        alt=f"Held-out perplexity against parameters. {told}.",
        drawing=plot([trace], layout),
        table=Table(("run", Column("parameters", _count), "held-out perplexity"), points),
    )


def _texts(result: SearchResult) -> dict[str, TextLoss]:
    return {"calibration": result.calibration, "heldout": result.heldout}


def _bars(name: str, x: list[str], y: tuple[float, ...], colour: str) -> dict[str, object]:
    return {
        "type": "bar",
        "name": name,
        "x": x,
        "y": y,
        "text": [number(value) for value in y],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": colour},
        "hovertemplate": "%{fullData.name}, %{x}: %{y:.2f}<extra></extra>",
    }


def _row(name: str, result: SearchResult, text: str) -> tuple[str | float | None, ...]:
    losses = _texts(result)[text]
    figures = losses.perplexity
    dense, pruned = figures["dense"], figures["pruned"]
    size = f"{losses.windows} x {losses.window} tokens"
    return name, _TEXTS[text], size, dense, pruned, pruned / dense, result.parameters["pruned"]


def _count(value: float) -> str:
    return f"{value:,.0f}"
