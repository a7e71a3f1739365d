"""The effects that the surrogate has learned: dropping each unit, and pairs of units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evop_deap.base.formatting import listed, millions
from evop_deap.reporting.axes import log_axis, reference_line
from evop_deap.reporting.named_units import dropped_names, label_of
from evop_deap.reporting.page_parts import Column, Table, figure, plot
from evop_deap.reporting.theme import run_colour
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.runs.storage.result import SearchResult

_UNIT_NOTE = (
    "The surrogate's estimate from all evaluated patterns, near the best ones: the factor on the "
    "excess loss over the dense model if this unit is dropped instead of a typical one. Bars are "
    "95% intervals. Filled points were dropped."
)


def effects_figure(runs: Sequence[Run]) -> str:
    """Return a figure with a factor and its interval for each unit; nothing without a surrogate."""
    traces, rows, said = [], [], []
    for place, run in enumerate(runs):
        learned = run.result.surrogate if run.result else None
        if run.result is None or learned is None:
            continue
        name, units = label_of(runs, place), learned["units"]
        gone = set(dropped_names(run))
        traces.append(_points(name, units, gone, run_colour(place), alone=len(runs) == 1))
        rows += _rows(name, run.result, units, gone)
        least = sorted(units, key=lambda unit: unit["factor"])[:3]
        most = sorted(units, key=lambda unit: -unit["factor"])[:3]
        said.append(
            f"In {name}, dropping {_together(least)} hurts least and {_together(most)} most."
        )
    if not traces:
        return ""
    layout = {
        "height": 360,
        "xaxis": {"title": "dropped unit", "type": "category", "showgrid": False},
        "yaxis": {
            "title": "factor on the excess loss",
            **log_axis(end for row in rows for end in row[-2:] if isinstance(end, float)),
        },
        "shapes": [reference_line(1.0)],
    }
    columns = (
        "run",
        "unit",
        "fate",
        Column("parameters", millions),
        "share",
        "factor",
        "low",
        "high",
    )
    return figure(
        "effects",
        "Effect of dropping each unit",
        alt=" ".join(said),
        drawing=plot(traces, layout),
        table=Table(columns, rows),
        note=_UNIT_NOTE,
        wide=True,
    )


def pairs_figure(runs: Sequence[Run]) -> str:
    """Return a figure of pairs with an interaction; nothing where none is significant."""
    traces, rows = [], []
    for place, run in enumerate(runs):
        learned = run.result.surrogate if run.result else None
        if learned is None:
            continue
        name = label_of(runs, place)
        pairs = [*reversed(learned["worse_together"]), *learned["better_together"]]
        pairs.sort(key=lambda pair: pair["factor"])
        if pairs:
            traces.append(_pair_bars(name, pairs, run_colour(place)))
        rows += [(name, _together([p]), p["factor"], p["low"], p["high"]) for p in pairs]
    if not rows:
        return ""
    worst, best = max(rows, key=lambda row: row[2]), min(rows, key=lambda row: row[2])
    layout = {
        "height": max(260, 60 + 20 * len({row[1] for row in rows})),
        "xaxis": {
            "title": "factor beyond the two alone",
            **log_axis(end for row in rows for end in row[-2:]),
        },
        "yaxis": {"type": "category", "automargin": True},
        "shapes": [reference_line(1.0, upright=True)],
    }
    return figure(
        "pairs",
        "Pairs that depend on each other",
        alt=(
            f"Of {len(rows)} pairs with a significant interaction, {worst[1]} are the worst "
            f"together (factor {worst[2]:.2f}) and {best[1]} the best (factor {best[2]:.2f})."
        ),
        drawing=plot(traces, layout),
        table=Table(("run", "pair", "factor", "low", "high"), rows),
        note=(
            "Above 1, dropping both costs more than the two effects alone: each can replace the "
            "other. Below 1, it costs less: without one, the other matters less."
        ),
    )


def _points(
    name: str, units: Sequence[Mapping[str, Any]], gone: set[str], colour: str, *, alone: bool
) -> dict[str, Any]:
    goes = [unit["units"][0] in gone for unit in units]
    symbols = ["circle" if one else "circle-open" for one in goes]
    colours = ["--dropped" if one and alone else colour for one in goes]
    return {
        "name": name,
        "x": [unit["units"][0] for unit in units],
        "y": [unit["factor"] for unit in units],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [unit["high"] - unit["factor"] for unit in units],
            "arrayminus": [unit["factor"] - unit["low"] for unit in units],
            "color": f"{colour}/.45",
            "thickness": 2,
            "width": 0,
        },
        "mode": "markers",
        "marker": {
            "size": 9,
            "color": colours,
            "symbol": symbols,
            "line": {"width": 2, "color": colours},
        },
        "hovertemplate": "%{x}: factor %{y:.2f}<extra>%{fullData.name}</extra>",
    }


def _pair_bars(name: str, pairs: Sequence[Mapping[str, Any]], colour: str) -> dict[str, Any]:
    return {
        "name": name,
        "x": [pair["factor"] for pair in pairs],
        "y": [_together([pair]) for pair in pairs],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [pair["high"] - pair["factor"] for pair in pairs],
            "arrayminus": [pair["factor"] - pair["low"] for pair in pairs],
            "color": f"{colour}/.45",
            "thickness": 2,
            "width": 0,
        },
        "mode": "markers",
        "marker": {"size": 9, "color": colour},
        "hovertemplate": "%{y}: factor %{x:.2f}<extra>%{fullData.name}</extra>",
    }


def _rows(
    name: str, result: SearchResult, units: Sequence[Mapping[str, Any]], gone: set[str]
) -> list[tuple[str | float | None, ...]]:
    sizes = {unit["name"]: int(unit["parameters"]) for unit in result.units}
    whole = result.parameters["dense"]
    rows: list[tuple[str | float | None, ...]] = []
    for unit in units:
        (called,) = unit["units"]
        fate = "dropped" if called in gone else "kept"
        size = sizes[called]
        share = f"{size / whole:.1%}"
        rows.append((name, called, fate, size, share, unit["factor"], unit["low"], unit["high"]))
    return rows


def _together(effects: Sequence[Mapping[str, Any]]) -> str:
    return listed([" + ".join(effect["units"]) for effect in effects])
