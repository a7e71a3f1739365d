"""The tables of a board of several models: the search beside each method, by model and budget."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.board.making.cells import DENSE
from benchmarks.board.making.run_files import Run, check_protocol, comparable
from benchmarks.board.tables import ratios, zero_shot
from benchmarks.board.tables.board_tables import Methods, cells_in, repetition
from benchmarks.board.tables.ratios import Pair, Ratio, figure, perplexity
from benchmarks.board.tables.zero_shot import (
    difference,
    has_tasks,
    in_points,
    mean_accuracy,
    with_arithmetic,
)
from benchmarks.common.estimated import Estimated
from benchmarks.common.record import markdown_table
from evop_deap.base.errors import InputError
from evop_deap.base.formatting import plural
from evop_deap.settings.heuristic_names import SEARCH

View = Callable[[Sequence[Run]], list[Run]]
"""Selects the questions of runs."""

_OWN = ("model", "model_sha256", "dtype", "answered")
"""Settings that may differ between models: methods are compared within a model alone."""


@dataclass(frozen=True, eq=False)
class ModelBoard:
    """The finished cells of one model that have a search.

    Attributes:
        name: the model.
        cells: runs by method, the dense model among them, for each granularity and sparsity.
        dense: the dense model's run.
    """

    name: str
    cells: Mapping[tuple[str, float], Methods]
    dense: Run

    @classmethod
    def of(cls, name: str, runs: Sequence[Run]) -> ModelBoard | None:
        """Return the board of these runs; None without the dense model or a search."""
        dense = next((run for run in runs if run["cell"]["method"] == DENSE), None)
        found = {key: methods for key, methods in cells_in(runs).items() if SEARCH in methods}
        if dense is None or not found:
            return None
        cells = {key: {DENSE: [dense], **methods} for key, methods in found.items()}
        check_protocol(runs, dense["protocol"])
        return cls(name, cells, dense)

    def pairs(self, method: str) -> list[Pair]:
        """Return the runs of the search and of a method, for each cell of both."""
        return [(m[SEARCH], m[method]) for m in self.cells.values() if method in m]


def models_tables(runs: Mapping[str, Sequence[Run]]) -> str:
    """Return all tables of the runs of several models, in Markdown.

    Raises:
        InputError: no model has the dense model and a search, or they differ in text or cost.
    """
    found = boards_of(runs)
    names = _ranked(found)
    parts = [
        _setting(found),
        "The search, then the search against each other method: held-out perplexity and the ratio "
        "of the search's to it; zero-shot accuracy in per cent and the search's lead in points:",
        _table(found, names, _ratio_and_lead, _mean_ratio_and_lead),
    ]
    asked = [board for board in found if has_tasks(with_arithmetic([board.dense]))]
    if asked:
        parts += [
            "Exact match of arithmetic in per cent, and the search's lead in points:",
            _table(
                asked,
                names,
                partial(_difference, with_arithmetic),
                partial(_mean_difference, with_arithmetic),
            ),
        ]
    continued = [board for board in found if "degeneracy" in board.dense["judged"]]
    if continued:
        parts += [
            "Share of 4-grams in greedy continuations that stood before, in per cent:",
            _table(continued, names, lambda board, methods, name: repetition(methods[name]), None),
        ]
    parts += [
        "Cost in dense forward passes, mean over seeds:",
        _table(found, names, lambda board, methods, name: _cost(methods[name]), None),
    ]
    return "\n\n".join(parts)


def summary_table(folders: Sequence[Mapping[str, Sequence[Run]]]) -> str:
    """Return one table of the cells of several folders, which differ in their exam.

    Args:
        folders: the runs of each, by model.
    """
    boards = [board for runs in folders for board in boards_of(runs)]
    return _table(boards, _ranked(boards), _ratio_and_lead, None)


def boards_of(runs: Mapping[str, Sequence[Run]]) -> list[ModelBoard]:
    """Return the models that have a search to compare with.

    Raises:
        InputError: there is none, or they differ in text or cost.
    """
    found = [board for name, own in runs.items() if (board := ModelBoard.of(name, own))]
    if not found:
        raise InputError("`output` holds no model with its dense cell and a search")
    text = ("corpus", "window", "tokens")
    common = [comparable(board.dense, _OWN, text) for board in found]
    check_protocol(common, common[0]["protocol"])
    return found


def mean_ratio(boards: Sequence[ModelBoard], method: str) -> Ratio:
    """Return the mean ratio of the search to a method over the models that have it.

    Each model has equal weight.
    """
    return ratios.mean_ratio([pairs for board in boards if (pairs := board.pairs(method))])


def mean_difference(
    boards: Sequence[ModelBoard], method: str, view: View = list
) -> Estimated | None:
    """Return the mean lead of the search in accuracy over models, each with equal weight.

    Args:
        boards: the models.
        method: the method to compare with.
        view: `list` for zero-shot tasks, `with_arithmetic` for arithmetic.
    """
    found = []
    for board in boards:
        pairs = [(view(searched), view(other)) for searched, other in board.pairs(method)]
        if asked := [pair for pair in pairs if all(map(has_tasks, pair))]:
            found.append(asked)
    return zero_shot.mean_difference(found) if found else None


def _table(
    boards: Sequence[ModelBoard],
    names: Sequence[str],
    shown: Callable[[ModelBoard, Methods, str], str],
    over_all: Callable[[Sequence[ModelBoard], str], str] | None,
) -> str:
    """A row for each method and a column for each cell; of several, the last one is the mean."""
    columns = [(board, methods) for board in boards for methods in board.cells.values()]
    if len(columns) < 2:
        over_all = None
    rows = []
    for name in names:
        row = [f"**{name}**" if name == SEARCH else name]
        row += [
            shown(board, methods, name) if name in methods else "-" for board, methods in columns
        ]
        rows.append([*row, over_all(boards, name)] if over_all else row)
    header = ["", *(f"{board.name}, {_named(board, methods)}" for board, methods in columns)]
    mean = "mean over models" if len(boards) > 1 else "mean"
    return markdown_table([*header, mean] if over_all else header, rows)


def _ratio_and_lead(board: ModelBoard, methods: Methods, name: str) -> str:
    return _both(_ratio(board, methods, name), _difference(list, board, methods, name))


def _mean_ratio_and_lead(boards: Sequence[ModelBoard], name: str) -> str:
    return _both(_mean_ratio(boards, name), _mean_difference(list, boards, name))


def _both(ratio: str, lead: str) -> str:
    """Perplexity and accuracy in one field; perplexity alone where nothing was asked."""
    return ratio if lead in ("", "-") else f"{ratio}; {lead}"


def _ratio(board: ModelBoard, methods: Methods, name: str) -> str:
    if name == SEARCH:
        return figure(perplexity(methods[SEARCH]))
    return str(ratios.ratio(methods[SEARCH], methods[name]))


def _mean_ratio(boards: Sequence[ModelBoard], name: str) -> str:
    return "" if name == SEARCH else str(mean_ratio(boards, name))


def _difference(view: View, board: ModelBoard, methods: Methods, name: str) -> str:
    searched, other = view(methods[SEARCH]), view(methods[name])
    if not (has_tasks(searched) and has_tasks(other)):
        return "-"
    return mean_accuracy(searched) if name == SEARCH else in_points(difference([(searched, other)]))


def _mean_difference(view: View, boards: Sequence[ModelBoard], name: str) -> str:
    if name == SEARCH:
        return ""
    found = mean_difference(boards, name, view)
    return in_points(found) if found else "-"


def _ranked(boards: Sequence[ModelBoard]) -> list[str]:
    """All methods: the search, then the others, the best by the mean ratio first."""
    names = dict.fromkeys(name for board in boards for m in board.cells.values() for name in m)
    found = {name: mean_ratio(boards, name) for name in names if name != SEARCH}
    return [SEARCH, *sorted(found, key=lambda name: -found[name].value)]


def _setting(boards: Sequence[ModelBoard]) -> str:
    protocol = boards[0].dense["protocol"]
    text = protocol["calibration"]
    compensated = protocol.get("compensate")
    dtypes = ", ".join(f"{board.name} in {board.dense['protocol']['dtype']}" for board in boards)
    dense = ", ".join(f"{board.name} {figure(perplexity([board.dense]))}" for board in boards)
    asked = {board.name: board.dense["protocol"].get("limit") for board in boards}
    limits = ", ".join(f"{name} {limit}" for name, limit in asked.items() if limit)
    return (
        f"{dtypes}; all methods on {text['tokens']:,} tokens of {text['corpus']} in windows of "
        f"{text['window']}"
        + (f", all compensated ({compensated['form']})" if compensated else "")
        + f". Perplexity of the dense models: {dense}. "
        + (f"First questions of each task: {limits}. " if limits else "")
        + "Intervals are of 95 %, paired by window or question. They hold the chance of these and "
        "of the seeds, but not that of the calibration text, which is drawn once."
    )


def _named(board: ModelBoard, methods: Methods) -> str:
    run = methods[SEARCH][0]
    found, granularity = run["found"], run["cell"]["granularity"]
    return f"{len(found['dropped'])} of {found['units']} {plural(granularity)}"


def _cost(runs: Sequence[Run]) -> str:
    if runs[0]["cell"]["method"] == DENSE:
        return ""
    return f"{statistics.fmean(run['found']['cost'] for run in runs):.1f}"
