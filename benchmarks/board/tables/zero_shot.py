"""Zero-shot accuracy on a board, in per cent, with its standard error over questions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.board.making.run_files import Run
from benchmarks.board.tables.ratios import Pair
from benchmarks.board.tables.seeds import chance_of_seeds
from benchmarks.common.estimated import Estimated, mean_by_item
from benchmarks.common.record import markdown_table
from evop_deap.settings.heuristic_names import SEARCH

_NORMED = "acc_norm"


def task_names(run: Run) -> list[str]:
    """The tasks of a run, each with its metric."""
    return [f"{task} {score['metric']}" for task, score in _tasks(run).items()]


def task_accuracies(runs: Sequence[Run]) -> list[str]:
    """The accuracy in each task, averaged over the runs."""
    found = [_tasks(run) for run in runs]
    return [
        _accuracy(
            statistics.mean(one[task]["value"] for one in found),
            statistics.mean(one[task]["error"] for one in found),
        )
        for task in found[0]
    ]


def mean_accuracy(runs: Sequence[Run]) -> str:
    """The mean accuracy over runs and tasks, with equal weights of the tasks."""
    return _accuracy(*_mean_and_error(runs))


def accuracy_table(
    dense: Sequence[Run], cells: Sequence[tuple[str, Mapping[str, Sequence[Run]]]]
) -> str | None:
    """Return a table of methods by cells; None without tasks, or with only one cell.

    A further column has the mean over cells, for methods that were run in all of them; its error
    is over questions, which are the same in every cell. The last column is the difference of the
    search to each method in percentage points, with its standard error, over the cells of both.
    It is left out if there is no search.
    """
    if len(cells) < 2 or not _tasks(dense[0]):
        return None
    searched = [methods for _, methods in cells if SEARCH in methods]
    rows = [["dense", *[mean_accuracy(dense)] * (len(cells) + 1)]]
    if searched:
        rows[0].append(_lead([(methods[SEARCH], dense) for methods in searched]))
    ranked = []
    for name in dict.fromkeys(name for _, methods in cells for name in methods):
        found = [_mean_and_error(m[name]) if name in m else None for _, m in cells]
        known = [one for one in found if one is not None]
        value, error = (statistics.mean(part) for part in zip(*known, strict=True))
        whole = _accuracy(value, error) if len(known) == len(cells) else "-"
        shown = [_accuracy(*one) if one else "-" for one in found]
        bold = f"**{name}**" if name == SEARCH else name
        row = [bold, *shown, whole]
        if searched:
            both = [(methods[SEARCH], methods[name]) for methods in searched if name in methods]
            row.append("" if name == SEARCH else _lead(both) if both else "-")
        ranked.append((len(known), value, row))
    ranked.sort(key=lambda entry: entry[:2], reverse=True)
    lead = ["search - this"] if searched else []
    header = ["zero-shot", *(name for name, _ in cells), "mean", *lead]
    return markdown_table(header, rows + [row for *_, row in ranked])


def difference(pairs: Sequence[Pair]) -> Estimated:
    """Return the mean difference in accuracy within pairs of methods, in the same cells each."""
    return mean_difference([pairs])


def mean_difference(boards: Sequence[Sequence[Pair]]) -> Estimated:
    """Return the mean difference in accuracy over boards, each with equal weight.

    Tasks have equal weights. Questions are paired; they are the same in all cells of a board.
    Boards that were asked equally many were asked the same ones, and are paired too; of others
    the questions count as a sample of each board's own. The seeds of a method are a sample of
    their own in every cell, unless it has one.

    Args:
        boards: for each, the runs of two methods in each of its cells.
    """
    leads = [mean_by_item(map(_by_question, pairs)) for pairs in boards]
    alike = len({tuple(map(len, lead)) for lead in leads}) == 1
    several = [mean_by_item(leads)] if alike else leads
    found = Estimated.mean([_over_tasks(lead) for lead in several])
    for pairs in boards:
        seeds = chain.from_iterable(chance_of_seeds(*pair, _mean_of) for pair in pairs)
        found = found.with_errors(seeds, 1 / len(boards) / len(pairs))
    return found


def in_points(found: Estimated) -> str:
    """A difference in percentage points, with its interval of 95 %."""
    low, high = (100 * end for end in found.interval())
    return f"{100 * found.value:+.1f} ({low:+.1f} to {high:+.1f})"


def with_tasks(runs: Sequence[Run], names: Collection[str]) -> list[Run]:
    """Return the runs with the scores of these tasks alone."""
    return [
        {**run, "judged": {"tasks": [t for t in run["judged"]["tasks"] if t["task"] in names]}}
        for run in runs
    ]


def with_arithmetic(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with the levels of arithmetic in the place of their tasks."""
    return [{**run, "judged": {"tasks": run["judged"].get("arithmetic", [])}} for run in runs]


def has_tasks(runs: Sequence[Run]) -> bool:
    """Return whether all runs have answered questions."""
    return bool(runs) and all(run["judged"]["tasks"] for run in runs)


def _tasks(run: Run) -> dict[str, Any]:
    """Each task's score, length-normalised if the harness has that metric."""
    found: dict[str, Any] = {}
    for score in run["judged"]["tasks"]:
        if score["task"] not in found or score["metric"] == _NORMED:
            found[score["task"]] = score
    return found


def _mean_and_error(runs: Sequence[Run]) -> tuple[float, float]:
    scores = [[*_tasks(run).values()] for run in runs]
    values = [statistics.mean(score["value"] for score in one) for one in scores]
    errors = [math.hypot(*(score["error"] for score in one)) / len(one) for one in scores]
    return statistics.mean(values), statistics.mean(errors)


def _mean_of(run: Run) -> float:
    return _mean_and_error([run])[0]


def _lead(pairs: Sequence[Pair]) -> str:
    found = difference(pairs)
    return f"{100 * found.value:+.1f} ± {100 * found.error:.1f}"


def _by_question(pair: Pair) -> list[NDArray[np.float64]]:
    """For each task, the difference in how often two methods answer each question correctly."""
    first, second = map(_right_in, pair)
    return [one - other for one, other in zip(first, second, strict=True)]


def _right_in(runs: Sequence[Run]) -> list[NDArray[np.float64]]:
    """For each task, the share of runs that answered each question correctly."""
    asked = [[list(map(int, task["scores"])) for task in _tasks(run).values()] for run in runs]
    return [np.mean(task, axis=0) for task in zip(*asked, strict=True)]


def _over_tasks(lead: Sequence[NDArray[np.float64]]) -> Estimated:
    """The mean difference over tasks, each with equal weight."""
    return Estimated.mean([Estimated.of(task) for task in lead])


def _accuracy(value: float, error: float) -> str:
    return f"{100 * value:.1f} ± {100 * error:.1f}"
