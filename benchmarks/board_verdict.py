"""What a board says over all of its cells: the search against the others, held-out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from benchmarks.board_ratios import Bootstrap
from benchmarks.board_results import Run
from benchmarks.record import markdown_table
from evop_deap.config import SEARCH

Methods = Mapping[str, list[Run]]


def verdict(cells: list[Methods], bootstrap: Bootstrap) -> str | None:
    """Against the best of the others in each cell, and where there are several against each.

    Who picks a rule has to do so beforehand, and may meet a cell where another is the best.

    Args:
        cells: the runs of a granularity and budget by method, the best method first.
        bootstrap: of the board.
    """
    cells = [methods for methods in cells if SEARCH in methods and len(methods) > 1]
    if not cells:
        return None
    best = [next(name for name in methods if name != SEARCH) for methods in cells]
    pairs = [(methods[SEARCH], methods[name]) for methods, name in zip(cells, best, strict=True)]
    costs = [statistics.mean(run["found"]["cost"] for run in runs) for _, runs in pairs]
    said = (f"{name} (cost {cost:.1f})" for name, cost in zip(best, costs, strict=True))
    plural = "cell" if len(cells) == 1 else "cells"
    parts = [
        "Held-out perplexity of the search over that of the best heuristic of each cell, "
        f"geometric mean over {len(cells)} {plural}: **{bootstrap.mean_ratio(pairs)}**. "
        f"The best: {', '.join(said)}."
    ]
    if len(cells) > 1 and (table := _against_each(cells, bootstrap)):
        parts.append(table)
    return "\n\n".join(parts)


def _against_each(cells: list[Methods], bootstrap: Bootstrap) -> str | None:
    """A row a method that was run in every cell, the search's best rival first."""
    ratios = {
        name: bootstrap.mean_ratio([(methods[SEARCH], methods[name]) for methods in cells])
        for name in cells[0]
        if name != SEARCH and all(name in methods for methods in cells)
    }
    if not ratios:
        return None
    rows = [
        [
            name,
            str(ratios[name]),
            f"{max(statistics.mean(r['found']['cost'] for r in m[name]) for m in cells):.1f}",
        ]
        for name in sorted(ratios, key=lambda name: -ratios[name].value)
    ]
    return markdown_table(["in all cells", "search / this", "cost at the most"], rows)
