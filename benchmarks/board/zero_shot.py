"""Zero-shot accuracy on a board, in per cent, with its standard error over questions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.board.run_files import Run
from benchmarks.common.record import markdown_table
from evop_deap.evaluation.estimates import difference_of
from evop_deap.settings.heuristic_names import SEARCH

_NORMED = "acc_norm"
_NORMAL = 1.96  # standard errors to the end of an interval of 95 %


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
    search to each method in percentage points, paired by question, over the cells of both. It is
    left out if there is no search.
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


@dataclass(frozen=True)
class Difference:
    """A difference in accuracy, with equal weights of the tasks.

    Attributes:
        value: above 0 if the first method is better.
        error: its standard error, over questions and over seeds.
    """

    value: float
    error: float

    @classmethod
    def mean(cls, differences: Sequence[Difference]) -> Difference:
        """Return the mean over models, which no question is asked of twice."""
        value = statistics.fmean(one.value for one in differences)
        error = math.hypot(*(one.error for one in differences)) / len(differences)
        return cls(value, error)

    def __str__(self) -> str:
        low, high = (100 * (self.value + side * _NORMAL * self.error) for side in (-1, 1))
        return f"{100 * self.value:+.1f} ({low:+.1f} to {high:+.1f})"


def difference(pairs: Sequence[tuple[Sequence[Run], Sequence[Run]]]) -> Difference:
    """Return the mean difference in accuracy within pairs of methods, in the same cells each.

    Questions are paired; they are the same in every cell. The seeds of a method are a sample of
    their own in every cell, unless it has one.
    """
    first, second = zip(*pairs, strict=True)
    tasks = list(map(difference_of, _right(first), _right(second)))
    value = statistics.fmean(task.value for task in tasks)
    of_questions = math.hypot(*(task.error or 0.0 for task in tasks)) / len(tasks)
    of_seeds = math.hypot(*map(_seed_error, (*first, *second))) / len(pairs)
    return Difference(value, math.hypot(of_questions, of_seeds))


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


def _seed_error(runs: Sequence[Run]) -> float:
    """The standard error over seeds of the mean accuracy; 0 for one seed."""
    means = [_mean_and_error([run])[0] for run in runs]
    return statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else 0.0


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


def _lead(pairs: Sequence[tuple[Sequence[Run], Sequence[Run]]]) -> str:
    """The difference in accuracy within the pairs, with equal weights of the tasks."""
    first, second = zip(*pairs, strict=True)
    tasks = list(map(difference_of, _right(first), _right(second)))
    value = statistics.mean(task.value for task in tasks)
    errors = (math.nan if task.error is None else task.error for task in tasks)
    error = math.hypot(*errors) / len(tasks)
    return f"{100 * value:+.1f} ± {100 * error:.1f}"


def _right(cells: Iterable[Sequence[Run]]) -> list[NDArray[np.float64]]:
    """For each task, how often each question was answered correctly, averaged over cells."""
    return [np.mean(task, axis=0) for task in zip(*map(_right_in, cells), strict=True)]


def _right_in(runs: Sequence[Run]) -> list[NDArray[np.float64]]:
    """For each task, the share of runs that answered each question correctly."""
    asked = [[list(map(int, task["scores"])) for task in _tasks(run).values()] for run in runs]
    return [np.mean(task, axis=0) for task in zip(*asked, strict=True)]


def _accuracy(value: float, error: float) -> str:
    return f"{100 * value:.1f} ± {100 * error:.1f}"
