"""The tables of a board, from its runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.board.making.cells import DENSE
from benchmarks.board.making.run_files import HELDOUT, WIKI, Run, check_protocol
from benchmarks.board.tables.comparison import comparison
from benchmarks.board.tables.ratios import figure, perplexity, ratio
from benchmarks.board.tables.zero_shot import (
    accuracy_table,
    mean_accuracy,
    task_accuracies,
    task_names,
    with_arithmetic,
)
from benchmarks.common.record import markdown_table
from evop_deap.base.errors import InputError
from evop_deap.base.formatting import plural
from evop_deap.settings.heuristic_names import SEARCH

Methods = dict[str, list[Run]]


def board_tables(runs: Sequence[Run]) -> str:
    """Return all tables of the runs, in Markdown.

    Raises:
        InputError: there are no runs, none of the dense model, or several protocols.
    """
    if not runs:
        raise InputError("`output` holds no run of a board")
    check_protocol(runs, runs[0]["protocol"])
    dense = [run for run in runs if run["cell"]["method"] == DENSE]
    if not dense:
        raise InputError("`output` holds no run of the dense model: run the board once more")
    cells = cells_in(runs)
    machines = list(dict.fromkeys(map(_machine, runs)))
    parts = [_setting(runs[0]["protocol"], machines)]
    named = [(_named(granularity, methods), methods) for (granularity, _), methods in cells.items()]
    for name, methods in named:
        parts += [f"### {name}", _main_table(dense, methods, len(machines) == 1)]
        parts += filter(None, [_domain_table(dense, methods), _task_table(dense, methods)])
        parts += filter(None, [_generation_table(dense, methods)])
    parts += filter(None, [accuracy_table(dense, named), comparison(named)])
    return "\n\n".join(parts)


def cells_in(runs: Sequence[Run]) -> dict[tuple[str, float], Methods]:
    """The runs of each granularity and budget, by method, best method first."""
    found: dict[tuple[str, float], Methods] = {}
    for run in runs:
        cell = run["cell"]
        if cell["method"] != DENSE:
            methods = found.setdefault((cell["granularity"], cell["sparsity"]), {})
            methods.setdefault(cell["method"], []).append(run)
    return {
        key: dict(sorted(found[key].items(), key=lambda entry: perplexity(entry[1])))
        for key in sorted(found)
    }


def _machine(run: Run) -> str:
    machine = run["machine"]
    return str(machine.get("accelerator", f"{machine['processor']} processor"))


def _setting(protocol: dict[str, Any], machines: list[str]) -> str:
    """Return the lines on the protocol, which apply to all tables."""
    text = protocol["calibration"]
    texts = [
        f"{one['name']} in windows of {one['window']}"
        + (f", {one['tokens']:,} tokens" if one["tokens"] else "")
        + (" a domain" if one["role"] == HELDOUT else "")
        for one in protocol["texts"]
    ]
    return (
        f"{protocol['model']} ({protocol['dtype']}, {', '.join(machines)}); all methods on the "
        f"same {text['tokens']:,} tokens of {text['corpus']} in windows of {text['window']}; those "
        f"that search end at {_limit(protocol)}.{_beyond(protocol)} "
        f"Perplexity of {'; '.join(texts)}. "
        "Held-out is the geometric mean over domains. Intervals are of 95 %, paired by window, and "
        "hold the chance of windows and seeds, but not that of the calibration text."
    )


def _limit(protocol: dict[str, Any]) -> str:
    cost = f"a cost of {protocol['max_cost']:g}"
    return f"the cost of the search, which ends at {cost}" if "equal_cost" in protocol else cost


def _beyond(protocol: dict[str, Any]) -> str:
    """Return what only some boards have: another fitness, and compensation."""
    fitness = f" They minimise {protocol['fitness']}." if "fitness" in protocol else ""
    form = protocol.get("compensate", {}).get("form")
    return fitness + (f" What is left is compensated ({form})." if form else "")


def _named(granularity: str, methods: Methods) -> str:
    found = next(iter(methods.values()))[0]["found"]
    return f"{len(found['dropped'])} of {found['units']} {plural(granularity)}"


def _rows(
    dense: list[Run], methods: Methods, columns: Callable[[list[Run]], list[str]]
) -> list[list[str]]:
    """A row for the dense model and for each method; the search's name is bold."""
    rows = [["dense", *columns(dense)]]
    for name, runs in methods.items():
        rows.append([f"**{name}**" if name == SEARCH else name, *columns(runs)])
    return rows


def _main_table(dense: list[Run], methods: Methods, timed: bool) -> str:
    """Perplexities and cost; seconds are shown if all runs are of one machine."""
    wiki = [e["window"] for e in dense[0]["judged"]["perplexity"] if e["role"] == WIKI]
    heldout = any(entry["role"] == HELDOUT for entry in dense[0]["judged"]["perplexity"])
    tasks = bool(dense[0]["judged"]["tasks"])
    searched = methods.get(SEARCH)

    def columns(runs: list[Run]) -> list[str]:
        figures = [_wiki(runs, window) for window in wiki]
        if heldout:
            figures.append(_with_range([perplexity([run]) for run in runs]))
        if searched:
            rival = runs is not searched and runs is not dense
            figures.append(str(ratio(searched, runs)) if rival else "")
        if tasks:
            figures.append(mean_accuracy(runs))
        return [*figures, *_spent(runs)[: 3 if timed else 2]]

    header = [
        "",
        *(f"wiki.test {window}" for window in wiki),
        *(["held-out"] if heldout else []),
        *(["search / this"] if searched else []),
        *(["zero-shot"] if tasks else []),
        "cost",
        "patterns",
        *(["CPU s"] if timed else []),
    ]
    return markdown_table(header, _rows(dense, methods, columns))


def _wiki(runs: list[Run], window: int) -> str:
    figures = [
        entry["perplexity"]
        for run in runs
        for entry in run["judged"]["perplexity"]
        if entry["role"] == WIKI and entry["window"] == window
    ]
    return _with_range([math.inf if one is None else one for one in figures])


def _spent(runs: list[Run]) -> list[str]:
    found = [run["found"] for run in runs]
    if "cost" not in found[0]:
        return ["", "", ""]
    cost, patterns, seconds = (
        statistics.mean(one[name] for one in found)
        for name in ("cost", "evaluations", "cpu_seconds")
    )
    return [f"{cost:.1f}", f"{patterns:.0f}", f"{seconds:.0f}"]


def _domain_table(dense: list[Run], methods: Methods) -> str | None:
    """Perplexity by domain, if there are several."""
    domains = [e["domain"] for e in dense[0]["judged"]["perplexity"] if e["role"] == HELDOUT]
    if len(domains) < 2:
        return None

    def columns(runs: list[Run]) -> list[str]:
        return [figure(_mean(_of_domain(runs, domain))) for domain in domains]

    return markdown_table(["", *domains], _rows(dense, methods, columns))


def _of_domain(runs: list[Run], domain: str) -> Iterable[float]:
    for run in runs:
        for entry in run["judged"]["perplexity"]:
            if entry["role"] == HELDOUT and entry["domain"] == domain:
                yield math.inf if entry["perplexity"] is None else entry["perplexity"]


def _task_table(dense: list[Run], methods: Methods) -> str | None:
    """Accuracy by task, if there are tasks."""
    tasks = task_names(dense[0])
    return markdown_table(["", *tasks], _rows(dense, methods, task_accuracies)) if tasks else None


def _generation_table(dense: list[Run], methods: Methods) -> str | None:
    """Exact match of arithmetic by level, and repetition, if they were measured."""
    levels = task_names(with_arithmetic(dense)[0])
    repeats = "degeneracy" in dense[0]["judged"]
    if not (levels or repeats):
        return None

    def columns(runs: list[Run]) -> list[str]:
        asked = task_accuracies(with_arithmetic(runs)) if levels else []
        return [*asked, *([repetition(runs)] if repeats else [])]

    header = ["", *levels, *(["rep-4"] if repeats else [])]
    return markdown_table(header, _rows(dense, methods, columns))


def repetition(runs: Sequence[Run]) -> str:
    """The share of 4-grams that stood before in a continuation, in per cent, mean over runs."""
    found = [run["judged"]["degeneracy"][0]["repetition"]["value"] for run in runs]
    return f"{100 * statistics.fmean(found):.1f}"


def _mean(figures: Iterable[float]) -> float:
    """The geometric mean."""
    found = [*figures]
    if not all(map(math.isfinite, found)):
        return math.inf
    return math.exp(statistics.mean(map(math.log, found)))


def _with_range(figures: list[float]) -> str:
    """The geometric mean over seeds, and their range if there are several."""
    mean = figure(_mean(figures))
    if len(figures) < 2:
        return mean
    return f"{mean} [{figure(min(figures))}, {figure(max(figures))}]"
