"""Comparison of the search with the other methods over all cells of a board, held-out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.board.making.run_files import Run
from benchmarks.board.tables.ratios import figure, mean_ratio, perplexity
from benchmarks.common.record import markdown_table
from evop_deap.settings.heuristic_names import SEARCH

Methods = Mapping[str, list[Run]]
Cells = Sequence[tuple[str, Methods]]
"""The name of each cell and its runs by method, the best method first."""

_OVERRUN = 1.1  # a search ends after the generation that reaches its limit


def comparison(cells: Cells) -> str | None:
    """Compare the search with the best other method in each cell, and with each over all cells.

    The best is taken over all methods, and over those that cost no more than the search. In
    practice a heuristic must be chosen before its result is known.

    Args:
        cells: the cells of the board.
    """
    cells = [(name, m) for name, m in cells if SEARCH in m and len(m) > 1]
    if not cells:
        return None
    parts = [_against_the_best([m for _, m in cells])]
    affordable = [_affordable(methods) for _, methods in cells]
    if all(len(methods) > 1 for methods in affordable):
        parts.append(_against_the_best(affordable, " at equal or lower cost"))
    if len(cells) > 1:
        parts += filter(None, [against_each(cells)])
    return "\n\n".join(parts)


def _affordable(methods: Methods) -> Methods:
    """The search, and the methods that cost no more, apart from their last generation."""
    most = _cost(methods[SEARCH]) * _OVERRUN
    return {name: runs for name, runs in methods.items() if name == SEARCH or _cost(runs) <= most}


def _against_the_best(cells: Sequence[Methods], limit: str = "") -> str:
    """Return a sentence that compares the search with the best other method of each cell."""
    best = [next(name for name in methods if name != SEARCH) for methods in cells]
    pairs = [(m[SEARCH], m[name]) for m, name in zip(cells, best, strict=True)]
    said = (f"{name} (cost {_cost(runs):.1f})" for name, (_, runs) in zip(best, pairs, strict=True))
    plural = "cell" if len(cells) == 1 else "cells"
    return (
        f"Held-out perplexity of the search over that of the best heuristic of each cell{limit}, "
        f"geometric mean over {len(cells)} {plural}: **{mean_ratio([pairs])}**. "
        f"The best: {', '.join(said)}."
    )


def against_each(cells: Cells) -> str | None:
    """Return a table with a row for each method, best first over the cells it was run in."""
    names = dict.fromkeys(name for _, methods in cells for name in methods)
    if len(names) < 2:
        return None
    ratios = {
        name: mean_ratio([[(m[SEARCH], m[name]) for _, m in cells if name in m]]) for name in names
    }
    rows = [
        [
            f"**{name}**" if name == SEARCH else name,
            *(figure(perplexity(m[name])) if name in m else "-" for _, m in cells),
            "" if name == SEARCH else str(ratios[name]),
            f"{max(_cost(m[name]) for _, m in cells if name in m):.1f}",
        ]
        for name in sorted(ratios, key=lambda name: -ratios[name].value)
    ]
    return markdown_table(
        ["held-out", *(name for name, _ in cells), "search / this", "highest mean cost"], rows
    )


def _cost(runs: list[Run]) -> float:
    return statistics.fmean(run["found"]["cost"] for run in runs)
