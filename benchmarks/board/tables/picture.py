"""A plot of a board: held-out perplexity against the cost of finding the pattern."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.board.making.run_files import Run
from benchmarks.board.tables.ratios import perplexity
from evop_deap.base.files import write_bytes
from evop_deap.base.formatting import plural
from evop_deap.settings.heuristic_names import SEARCH

_FREE = 0.5  # position of a cost of 0 on the logarithmic axis
_WORST = 30.0  # times the best: worse points are drawn at the upper edge


def draw_board(cells: Mapping[tuple[str, float], Mapping[str, Sequence[Run]]], path: Path) -> None:
    """Draw a panel for each cell with a point for each method; the search is filled.

    Raises:
        OutputError: the picture cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(cells), 4.2), layout="constrained")
    panels = figure.subplots(1, len(cells), squeeze=False)[0]
    for panel, ((granularity, sparsity), methods) in zip(panels, cells.items(), strict=True):
        best = min(perplexity(runs) for runs in methods.values())
        for name, runs in methods.items():
            cost = max(_FREE, statistics.mean(run["found"]["cost"] for run in runs))
            height = min(perplexity(runs), _WORST * best)
            beyond = perplexity(runs) > _WORST * best
            chosen = name == SEARCH
            panel.plot(
                cost,
                height,
                marker="^" if beyond else "o",
                color="#b2182b" if chosen else "#4d4d4d",
                markerfacecolor="#b2182b" if chosen else "white",
                clip_on=False,
                zorder=3,
            )
            panel.annotate(
                name,
                (cost, height),
                xytext=(6, 3),
                textcoords="offset points",
                fontsize=8,
                color="#b2182b" if chosen else "#4d4d4d",
                fontweight="bold" if chosen else "normal",
            )
        panel.set(
            xscale="log",
            yscale="log",
            xlim=(_FREE / 1.2, None),
            xlabel="cost, dense forward passes (left edge: none)",
            ylabel="held-out perplexity",
            title=f"{sparsity:.0%} of {plural(granularity)}",
        )
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.25)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=130)
    write_bytes(path, drawn.getvalue())
