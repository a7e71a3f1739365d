"""How many survivors of each generation drop each unit."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.base.formatting import counted, listed
from evop_deap.reporting.named_units import dropped_names, label_of, noun, unit_names
from evop_deap.reporting.page_parts import Table, figure, plot
from evop_deap.runs.storage.loaded_run import Run

_SCALE = [[0, "--heat-0"], [0.34, "--heat-1"], [0.67, "--heat-2"], [1, "--heat-3"]]


def drops_figures(runs: Sequence[Run]) -> str:
    """Return a heat map for each run with stored counts."""
    return "".join(_figure(runs, place) for place in range(len(runs)))


def _figure(runs: Sequence[Run], place: int) -> str:
    run, names = runs[place], unit_names(runs[place])
    rows = [row for row in run.rows if "drops" in row]
    if not rows or not names:
        return ""
    gone = dropped_names(run)
    counts = [[row["drops"].get(name, 0) for row in rows] for name in names]
    generations = [row["gen"] for row in rows]
    most = max(max(line) for line in counts)
    size = 13 if len(names) <= 48 else 7
    heat = {
        "type": "heatmap",
        "name": "survivors that drop it",
        "x": generations,
        "y": names,
        "z": counts,
        "zmin": 0,
        "zmax": most,
        "colorscale": _SCALE,
        "xgap": 1 if len(generations) <= 120 else 0,
        "ygap": 1,
        "hovertemplate": "unit %{y}, generation %{x}: %{z} survivors drop it<extra></extra>",
        "colorbar": {
            "title": {"text": "survivors"},
            "thickness": 10,
            "outlinewidth": 0,
            "len": 0.5,
        },
    }
    marks = {
        "name": "dropped in the end" if run.result else "dropped by the best",
        "x": [generations[-1] + 1] * len(gone),
        "y": gone,
        "mode": "markers",
        "marker": {"symbol": "triangle-left", "size": 8, "color": "--dropped"},
        "hovertemplate": "unit %{y} is dropped<extra></extra>",
        "cliponaxis": False,
    }
    layout = {
        "height": max(320, 90 + size * len(names)),
        "showlegend": False,
        "xaxis": {"title": "generation", "showgrid": False},
        "yaxis": {
            "type": "category",
            "autorange": "reversed",
            "showgrid": False,
            "title": noun(names),
            "tickmode": "array",
            "tickvals": names if size > 10 else names[:: 4 if len(names) > 96 else 2],
            "tickfont": {"size": 10},
        },
    }
    first, middle, last = 0, len(rows) // 2, len(rows) - 1
    summaries = [
        (name, "dropped" if name in gone else "kept",
         line[first], line[middle], line[last], sum(line) / len(line))
        for name, line in zip(names, counts, strict=True)
    ]  # fmt: skip
    ends = [f"generation {generations[i]}" for i in dict.fromkeys((first, middle, last))]
    if len(ends) < 3:
        summaries = [(*row[: 2 + len(ends)], row[-1]) for row in summaries]
    favourites = sorted(summaries, key=lambda row: -float(row[-1]))[:5]
    beside = f", {label_of(runs, place)}" if len(runs) > 1 else ""
    return figure(
        f"drops-{place}",
        f"Dropped {noun(names)} by generation{beside}",
        alt=(
            f"Heat map of {len(names)} {noun(names)} by {counted(len(rows), 'generation')}. "
            f"Dropped most often: {listed([str(row[0]) for row in favourites])}."
        ),
        drawing=plot([heat, marks], layout),
        table=Table(("unit", "in the end", *ends, "mean"), summaries),
        note="Survivors of each generation that drop the unit. Marks: dropped at the end.",
        wide=True,
    )
