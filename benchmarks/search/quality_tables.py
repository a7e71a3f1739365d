"""Tables and plots of the results of `benchmarks.search.quality`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.record import markdown_table

SHARES = (0.02, 0.05, 0.10)
"""The shares of a space at which methods are compared."""

Reports = Sequence[Mapping[str, Any]]


def tables(reports: Reports) -> str:
    """A table of landscapes by methods for each share of the space."""
    return "\n\n".join(
        f"After {share:.0%} of the patterns:\n\n{table_at(share, reports)}" for share in SHARES
    )


def table_at(share: float, reports: Reports) -> str:
    """Hit rate with its 95 % interval, and mean regret, of each method on each landscape."""

    def cell(figures: Mapping[str, Any]) -> str:
        low, high = (abs(end) for end in figures["hit_interval"][str(share)])
        rate, regret = figures["hit_rate"][str(share)], figures["regret"][str(share)]
        return f"{rate:.2f} ({low:.2f} to {high:.2f}), {regret:.4f}"

    return _table(share, reports, cell)


def hits_at(share: float, reports: Reports) -> str:
    """The hit rates of each method on each landscape."""
    return _table(share, reports, lambda figures: f"{figures['hit_rate'][str(share)]:.2f}")


def _table(share: float, reports: Reports, cell: Callable[[Mapping[str, Any]], str]) -> str:
    names = dict.fromkeys(name for report in reports for name in report["methods"])
    rows = []
    for report in reports:
        stem = report["landscape"]["file"].removesuffix(".npz")
        found = (report["methods"].get(name) for name in names)
        cells = [
            cell(figures) if figures and str(share) in figures["hit_rate"] else "-"
            for figures in found
        ]
        rows.append([stem, str(math.ceil(share * report["patterns"])), *cells])
    return markdown_table(["landscape", "evaluations", *names], rows)


def plot(reports: Reports, path: Path) -> None:
    """Plot hit rate and regret against evaluations, a row for each landscape, with 95 % bands."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4 * len(reports)), layout="constrained")
    for row, report in zip(figure.subplots(len(reports), 2, squeeze=False), reports, strict=True):
        for name, figures in report["methods"].items():
            curve = figures["curve"]
            x, low_high = curve["evaluations"], np.array(curve["hit_interval"]).T
            (line,) = row[0].plot(x, curve["hit_rate"], label=name)
            row[0].fill_between(x, *low_high, color=line.get_color(), alpha=0.15, linewidth=0)
            regret = np.array(curve["regret"])
            row[1].plot(x, regret, color=line.get_color())
            if curve["regret_error"] is not None:
                half = 1.96 * np.array(curve["regret_error"])
                band = np.maximum(regret - half, 1e-4), regret + half
                row[1].fill_between(x, *band, color=line.get_color(), alpha=0.15, linewidth=0)
        row[0].set(ylabel="share of seeds that have seen the optimum", ylim=(0, 1.02))
        row[1].set(ylabel="mean regret, nats a token", yscale="log", ylim=(1e-4, None))
        for axis in row:
            axis.set(xscale="log", xlabel=f"evaluations, of {report['patterns']} patterns")
            axis.grid(alpha=0.3)
        row[0].set_title(report["landscape"]["file"], fontsize="medium")
        row[0].legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=100)
