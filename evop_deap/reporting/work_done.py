"""The work of the search: passes through blocks and head, and cached losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evop_deap.base.formatting import counted, number
from evop_deap.reporting.named_units import label_of
from evop_deap.reporting.page_parts import Table, figure, plot
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.heuristic_names import SEARCH


def work_figure(runs: Sequence[Run]) -> str:
    """Return a figure of passes through blocks and head, and cached losses, by generation."""
    parts = [_figure(runs, place, run, run.result) for place, run in enumerate(runs) if run.result]
    return "".join(parts)


def totals_table(runs: Sequence[Run]) -> str:
    """Return a table of executed work, and of the work of evaluating each pattern alone."""
    done = [(place, run.result) for place, run in enumerate(runs) if run.result is not None]
    if not done:
        return ""
    columns = [_totals(runs[place], result) for place, result in done]
    names = dict.fromkeys(name for column in columns for name in column)
    rows: list[list[str | float | None]] = [
        [what, *(c.get(what) for c in columns)] for what in names
    ]
    labels = [label_of(runs, place) for place, _ in done]
    return Table(("total", *labels), rows).html("Total work")


def _totals(run: Run, result: SearchResult) -> dict[str, float]:
    return {
        "patterns evaluated": result.evaluations,
        "eliminated in a race": result.cut_short,
        "cached losses, from this or earlier searches": result.cache_hits,
        **_passes(run, result),
        "cost in dense forward passes, with the dense model's own": result.cost,
        "peak MiB of kept hidden states": result.work["bytes_held"] / 2**20,
        "seconds, with loading and exporting": result.seconds,
    }


def _passes(run: Run, result: SearchResult) -> dict[str, float]:
    """Return passes over the calibration text; nothing for a search that reads questions."""
    if result.answers is not None:
        return {}
    blocks, head = _dense_pass(result)
    alone = {}
    if _drops_as_many(run, result):
        alone["passes through the blocks, with each pattern alone and on all windows"] = (
            1 + result.evaluations * (1 - result.sparsity)
        )
    # Executed passes include that of the dense model, so the others do, too.
    return {
        "passes through the blocks": result.work["block_tokens"] / blocks,
        **alone,
        "passes through the head": result.work["head_tokens"] / head,
        "passes through the head, with each pattern on all windows": 1.0 + result.evaluations,
    }


def _drops_as_many(run: Run, result: SearchResult) -> bool:
    """Return whether all patterns evaluated drop as many units as the pattern found.

    Those of a front, of a budget that weighs units, and of a heuristic on its way do not.
    """
    by_count = all(limit["kind"] == "units" for limit in result.budget)
    return by_count and result.method == SEARCH and run.settings.get("pareto", "none") == "none"


def _figure(runs: Sequence[Run], place: int, run: Run, result: SearchResult) -> str:
    blocks, head = _dense_pass(result)
    rows = run.rows
    if not rows or result.answers is not None:
        return ""
    generations = [row["gen"] for row in rows]
    series = {
        "through the blocks": ([row["block_tokens"] / blocks for row in rows], "--accent"),
        "through the head": ([row["head_tokens"] / head for row in rows], "--dropped"),
        "cached": ([float(row["hits"]) for row in rows], "--muted/.6"),
    }
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": name,
            "x": generations,
            "y": values,
            "marker": {"color": colour},
            "hovertemplate": "generation %{x}: %{y:.2f} passes<extra>%{fullData.name}</extra>",
        }
        for name, (values, colour) in series.items()
        if any(values)
    ]
    layout = {
        "height": 300,
        "barmode": "group",
        "bargap": 0.25,
        "xaxis": {"title": "generation"},
        "yaxis": {"title": "passes over the calibration text"},
    }
    seconds = [row["seconds"] for row in rows]
    spent = [after - before for before, after in zip([0.0, *seconds], seconds, strict=False)]
    table = [
        (row["gen"], row["nevals"], row["lost"], row["hits"],
         row["block_tokens"] / blocks, row["head_tokens"] / head, second)
        for row, second in zip(rows, spent, strict=True)
    ]  # fmt: skip
    beside = f", {label_of(runs, place)}" if len(runs) > 1 else ""
    return figure(
        f"work-{place}",
        f"Work by generation{beside}",
        alt=(
            f"{number(result.work['block_tokens'] / blocks)} passes through the blocks and "
            f"{number(result.work['head_tokens'] / head)} through the head for "
            f"{counted(result.evaluations, 'pattern')}; cached losses: {result.cache_hits:,}."
        ),
        drawing=plot(traces, layout),
        table=Table(
            ("generation", "in full", "eliminated", "cached", "block passes",
             "head passes", "seconds"),
            table,
        ),
        note=(
            "1 is one pass of the calibration text through all blocks of the dense model, or "
            "through its head. Patterns with the same first blocks share those passes."
        ),
    )  # fmt: skip


def _dense_pass(result: SearchResult) -> tuple[float, float]:
    """Return tokens times units, and tokens, of one dense pass over the calibration text."""
    tokens = result.calibration.windows * result.calibration.window
    return len(result.units) * tokens, tokens
