"""The tables of a benchmark of fitnesses: perplexity and accuracy beside cross-entropy's."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.board.making.cells import DENSE
from benchmarks.board.making.run_files import Run, check_one_budget, check_protocol, comparable
from benchmarks.board.tables import ratios
from benchmarks.board.tables.ratios import Pair, Ratio, figure, perplexity
from benchmarks.board.tables.zero_shot import (
    has_tasks,
    in_points,
    mean_accuracy,
    mean_difference,
    task_accuracies,
    task_names,
    with_tasks,
)
from benchmarks.common.estimated import Estimated
from benchmarks.common.record import markdown_table
from evop_deap.base.errors import InputError
from evop_deap.base.formatting import plural

BASELINE = "ce"
"""The fitness that all others are compared with."""

Found = Mapping[str, Mapping[str, Sequence[Run]]]
"""Model -> fitness -> runs, those of the dense model among them."""

_OWN = ("fitness", "questions")
"""Settings that differ between fitnesses; the exam must not."""


@dataclass(frozen=True, eq=False)
class FitnessRuns:
    """The finished searches of one model.

    Attributes:
        model: its name.
        dense: the dense model's run.
        searches: runs of the search, by fitness.
    """

    model: str
    dense: Run
    searches: Mapping[str, Sequence[Run]]

    @classmethod
    def of(cls, model: str, found: Mapping[str, Sequence[Run]]) -> FitnessRuns | None:
        """Return the searches of a model; None without one, or without the dense model.

        Raises:
            InputError: the runs differ in the exam, the budget or the limit on cost.
        """
        runs = [run for own in found.values() for run in own]
        alike = [comparable(run, _OWN, ("window",)) for run in runs]
        check_protocol(alike, alike[0]["protocol"])
        dense = next((run for run in runs if _method(run) == DENSE), None)
        searches = {
            name: own
            for name, every in found.items()
            if (own := [run for run in every if _method(run) != DENSE])
        }
        if dense is None or not searches:
            return None
        check_one_budget([run for own in searches.values() for run in own])
        return cls(model, dense, searches)

    def ratio(self, name: str) -> Ratio | None:
        """Return the perplexity by a fitness over that by cross-entropy; None without both."""
        if name == BASELINE or BASELINE not in self.searches or name not in self.searches:
            return None
        return ratios.ratio(self.searches[name], self.searches[BASELINE])

    def lead(self, name: str, tasks: Collection[str]) -> Estimated | None:
        """Return the accuracy by a fitness less that by cross-entropy; None without both."""
        return mean_lead([self], name, tasks)

    def pair(self, name: str, tasks: Collection[str]) -> Pair | None:
        """Return the answers of a fitness and of cross-entropy; None without both."""
        if name == BASELINE or BASELINE not in self.searches or name not in self.searches:
            return None
        pair = tuple(with_tasks(self.searches[one], tasks) for one in (name, BASELINE))
        return (pair[0], pair[1]) if all(map(has_tasks, pair)) else None


def fitness_tables(found: Found) -> str:
    """Return all tables of the runs, in Markdown.

    Raises:
        InputError: no search is finished, or the runs of a model differ in their exam.
    """
    models = searches_of(found)
    seen, unseen = tasks_of(found)
    parts = [_setting(seen)]
    for one in models:
        parts += [_title(one), _model_table(one, seen, unseen)]
        if has_tasks([one.dense]):
            parts.append(_task_table(one))
    if len(models) > 1:
        parts += ["### Mean over models", _mean_table(models, seen, unseen)]
    return "\n\n".join(parts)


def searches_of(found: Found) -> list[FitnessRuns]:
    """Return the models that have a finished search.

    Raises:
        InputError: there is none, or the runs of a model differ in their exam.
    """
    models = [one for name, own in found.items() if (one := FitnessRuns.of(name, own))]
    if not models:
        raise InputError("`output` holds no finished search")
    return models


def _model_table(one: FitnessRuns, seen: Sequence[str], unseen: Sequence[str]) -> str:
    rows = [["dense", *_figures([one.dense], seen, unseen), ""]]
    for name, runs in one.searches.items():
        ratio = one.ratio(name)
        changes = [str(ratio) if ratio else "-"]
        changes += [_lead(one.lead(name, tasks)) for tasks in (seen, unseen)]
        cells = [
            value if change == "-" else f"{value}; {change}"
            for value, change in zip(_figures(runs, seen, unseen), changes, strict=True)
        ]
        cost = statistics.fmean(run["found"]["cost"] for run in runs)
        rows.append([f"{name} ({len(runs)})", *cells, f"{cost:.1f}"])
    header = ["fitness (seeds)", "held-out perplexity", "tasks seen", "tasks never seen", "cost"]
    return markdown_table(header, rows)


def _mean_table(models: Sequence[FitnessRuns], seen: Sequence[str], unseen: Sequence[str]) -> str:
    names = dict.fromkeys(name for one in models for name in one.searches if name != BASELINE)
    rows = [
        [
            name,
            str(mean_ratio(models, name) or "-"),
            *(_lead(mean_lead(models, name, tasks)) for tasks in (seen, unseen)),
        ]
        for name in names
    ]
    return markdown_table(["fitness", "held-out", "tasks seen", "tasks never seen"], rows)


def mean_ratio(models: Sequence[FitnessRuns], name: str) -> Ratio | None:
    """Return the mean ratio of perplexities over models, each with equal weight."""
    both = [[(one.searches[name], one.searches[BASELINE])] for one in models if one.ratio(name)]
    return ratios.mean_ratio(both) if both else None


def mean_lead(models: Sequence[FitnessRuns], name: str, tasks: Collection[str]) -> Estimated | None:
    """Return the mean difference in accuracy over models, each with equal weight."""
    found = [[pair] for one in models if (pair := one.pair(name, tasks))]
    return mean_difference(found) if found else None


def _task_table(one: FitnessRuns) -> str:
    rows = [["dense", *task_accuracies([one.dense])]]
    rows += [[name, *task_accuracies(runs)] for name, runs in one.searches.items()]
    return markdown_table(["", *task_names(one.dense)], rows)


def _figures(runs: Sequence[Run], seen: Sequence[str], unseen: Sequence[str]) -> list[str]:
    accuracies = []
    for tasks in (seen, unseen):
        some = with_tasks(runs, tasks)
        accuracies.append(mean_accuracy(some) if has_tasks(some) else "-")
    return [figure(perplexity(runs)), *accuracies]


def _lead(found: Estimated | None) -> str:
    return in_points(found) if found else "-"


def tasks_of(found: Found) -> tuple[list[str], list[str]]:
    """Return the tasks of the exam that a fitness has development questions of, and the others."""
    runs = [run for own in found.values() for runs in own.values() for run in runs]
    named = {task for run in runs for task in _asked(run)}
    tasks = dict.fromkeys(score["task"] for run in runs for score in run["judged"]["tasks"])
    return [t for t in tasks if t in named], [t for t in tasks if t not in named]


def _asked(run: Run) -> Iterator[str]:
    for file in run["protocol"].get("questions", {}).get("files", ()):
        yield file.split(".")[0]


def _setting(seen: Sequence[str]) -> str:
    """Return the lines that apply to all tables."""
    told = f"Of {', '.join(seen)} a fitness has seen development questions, none of the exam's. "
    return (
        "Ratios of perplexity and differences of accuracy are to the search by ce. Intervals are "
        "of 95 %, paired by window or question and by seed, and hold the chance of all three. Each "
        "seed draws calibration text and questions anew. "
        f"{told if seen else ''}The exam is the same for all cells of a model."
    )


def _title(one: FitnessRuns) -> str:
    run = next(iter(one.searches.values()))[0]
    found, protocol = run["found"], run["protocol"]
    return (
        f"### {one.model} ({protocol['dtype']}) without {len(found['dropped'])} of "
        f"{found['units']} {plural(run['cell']['granularity'])}"
    )


def _method(run: Run) -> str:
    return str(run["cell"]["method"])
