"""Perplexity of the dense model, the best heuristic's pick, the pattern found and the export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evop_deap.base.formatting import listed, millions, number
from evop_deap.reporting.named_units import label_of
from evop_deap.reporting.page_parts import Column, Table, figure, plot
from evop_deap.reporting.theme import run_colour
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.runs.storage.result import SearchResult
from evop_deap.runs.storage.text_losses import TextLoss

_TEXTS = {"calibration": "calibration", "heldout": "held-out"}
_KINDS = ("dense", "best heuristic", "found", "compensated")
_OFF_THE_SCALE = 4  # times the perplexity of the pattern found


def losses_figure(runs: Sequence[Run]) -> str:
    """Return bars of perplexity; nothing before a run has ended."""
    done = [(place, run.result) for place, run in enumerate(runs) if run.result is not None]
    if not done:
        return ""
    texts = list(_TEXTS.values())
    traces = []
    denses: set[tuple[float, ...]] = set()
    picked = {_by_heuristic(result) for _, result in done}
    for place, result in done:
        dense = tuple(_texts(result)[name].perplexity["dense"] for name in _TEXTS)
        name = label_of(runs, place)
        if dense not in denses:  # runs on the same model and text share a bar
            denses.add(dense)
            beside = f", as {name}" if len(done) > 1 and len(denses) > 1 else ""
            traces.append(_bars(f"dense{beside}", texts, dense, "--muted/.35"))
        made, colour = result.is_compensated, run_colour(place)
        called = "found" if len(done) == 1 else name
        traces.append(_bars(called, texts, _found(result), f"{colour}/.5" if made else colour))
        if made:
            called = "compensated" if len(done) == 1 else f"{name}, compensated"
            traces.append(_bars(called, texts, _exported(result), colour))
    note = "Held-out text is from documents that the search did not use."
    if len(picked) == 1 and (pick := picked.pop()):  # the same in all runs
        most = max(figure for _, result in done for figure in _found(result))
        if max(pick) <= _OFF_THE_SCALE * most:
            traces.insert(1, _bars("best heuristic", texts, pick, "--muted"))
        else:
            note += f" Off the scale, best heuristic: {listed([number(f) for f in pick])}."
    rows, said = [], []
    for place, result in done:
        for name in _TEXTS:
            about, figures = (label_of(runs, place), _TEXTS[name]), _figures(result, name)
            rows.append((*about, *_row(result, name, figures)))
            shown = [f"{number(f)} {kind}" for kind, f in figures.items() if f is not None]
            said.append(f"{', '.join(about)}: {listed(shown)}.")
    layout = {
        "height": 300,
        "barmode": "group",
        "bargap": 0.4,
        "xaxis": {"showgrid": False},
        "yaxis": {"title": "perplexity, lower is better", "rangemode": "tozero"},
    }
    columns = (
        "run", "text", "windows", *_KINDS, "exported / dense",
        Column("parameters", _count),
    )  # fmt: skip
    return figure(
        "perplexity",
        "Perplexity, dense and pruned",
        alt=f"Bars of perplexity. {' '.join(said)}",
        drawing=plot(traces, layout),
        table=Table(columns, rows),
        note=note,
    )


def curve_figure(runs: Sequence[Run]) -> str:
    """Return perplexity over parameters, for runs of one model with the same held-out text."""
    done = [(place, run.result) for place, run in enumerate(runs) if run.result is not None]
    evaluated = {(result.model_fingerprint, result.heldout.fingerprint) for _, result in done}
    if len(done) < 2 or len(evaluated) > 1:
        return ""
    dense = done[0][1]
    points = [("dense", dense.parameters["dense"], dense.heldout.perplexity["dense"])]
    points += [
        (label_of(runs, place), result.parameters["pruned"], result.heldout.exported)
        for place, result in done
    ]
    points.sort(key=lambda point: (point[1], -point[2]))
    names, sizes, figures = zip(*points, strict=True)
    # A line connects different budgets, but not runs with the same budget.
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
    listing = "; ".join(f"{n}: {millions(p)}, perplexity {number(f)}" for n, p, f in points)
    return figure(
        "curve",
        "Perplexity by size",
        alt=f"Held-out perplexity against parameters. {listing}.",
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


def _figures(result: SearchResult, text: str) -> dict[str, float | None]:
    """Return the perplexities on a text; None where there is none to compare."""
    pick = dict(zip(_TEXTS, _by_heuristic(result) or (None, None), strict=True))[text]
    figures = _texts(result)[text].perplexity
    found = (figures["dense"], pick, figures["pruned"], figures.get("compensated"))
    return dict(zip(_KINDS, found, strict=True))


def _row(
    result: SearchResult, text: str, figures: Mapping[str, float | None]
) -> tuple[str | float | None, ...]:
    losses = _texts(result)[text]
    size = f"{losses.windows} x {losses.window} tokens"
    share = losses.exported / losses.perplexity["dense"]
    return size, *figures.values(), share, result.parameters["pruned"]


def _found(result: SearchResult) -> tuple[float, ...]:
    return tuple(text.perplexity["pruned"] for text in _texts(result).values())


def _exported(result: SearchResult) -> tuple[float, ...]:
    return tuple(text.exported for text in _texts(result).values())


def _by_heuristic(result: SearchResult) -> tuple[float, ...]:
    """Return perplexities of the best heuristic's pick on both texts; empty without one.

    A pick that was compensated is compared with the pattern found elsewhere, on equal terms.
    """
    pick = result.beside
    return (pick.calibration.perplexity, pick.heldout.perplexity) if pick else ()


def _count(value: float) -> str:
    return f"{value:,.0f}"
