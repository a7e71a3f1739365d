"""Running the cells of a board that are missing in its folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.board.making.answered_together import AnsweredTogether, answer_together
from benchmarks.board.making.cells import DENSE, Cell, cells_of
from benchmarks.board.making.earlier_runs import EarlierRuns
from benchmarks.board.making.evaluation_plan import EvaluationPlan, evaluate_model
from benchmarks.board.making.protocol import (
    calibration_for,
    check_sizes,
    plan_of,
    protocol_of,
    questions_for,
)
from benchmarks.board.making.pruned_model import Bench, config_of, prune, pruned_before
from benchmarks.board.making.run_files import (
    check_protocol,
    path_of,
    read_run,
    read_runs,
    write_run,
)
from benchmarks.board.making.shared_evaluations import ANSWERS, Beside, evaluated_before
from benchmarks.common.exclusive_files import claimed
from benchmarks.common.record import circumstances
from evop_deap.base.errors import EvopError, InputError
from evop_deap.heuristics.registry import METHODS
from evop_deap.models.loading.load_model import LoadedModel
from evop_deap.runs.draw_questions import check_questions
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import load_named
from evop_deap.runs.streaming_choice import where_weights
from evop_deap.settings.heuristic_names import SEARCH
from evop_deap.settings.search_config import SearchConfig


def fill(
    given: argparse.Namespace,
    loaded: LoadedModel | None = None,
    beside: Beside | None = None,
) -> list[Cell]:
    """Run the missing cells; return those that failed.

    Args:
        given: the settings of the board.
        loaded: its model; None loads it.
        beside: what it shares with other boards of the same model.

    Raises:
        EvopError: an argument, a model or a text cannot be used, or the folder holds runs of
            another protocol.
    """
    cells = cells_of(given.methods, given.sparsity, given.granularity, given.seeds)
    config = _checked(given, cells)
    loaded = loaded or load(given)
    calibration = calibration_for(given, loaded)
    questions = questions_for(given, config, loaded)
    plan = plan_of(given, loaded, calibration)
    protocol = protocol_of(given, loaded, calibration, plan, questions)
    check_protocol(read_runs(given.output), protocol)
    missing = [cell for cell in cells if not path_of(given.output, cell.name).exists()]
    _tell(f"{len(cells) - len(missing)} of {len(cells)} cells are there already")
    bench = Bench.of(loaded, calibration, config, given.granularity, questions)
    for cell in missing:
        if cell.method != DENSE:
            bench.space_for(cell)  # refuses a budget before anything is paid for
    beside = beside or Beside()
    earlier = given.patterns_from and EarlierRuns.read(given.patterns_from, missing, protocol)
    making = _Making(given, bench, plan, protocol, beside.folders, earlier)
    if not (plan.together and earlier.patterns):
        return making.run(missing)
    folder = beside.answers or given.output / ANSWERS
    patterns = [*earlier.patterns, *beside.patterns]
    answers = answer_together(bench, plan, patterns, folder, protocol["model_sha256"])
    if answers is None:
        _tell("another process answers the rest: the same command makes the cells later")
        return []
    return replace(making, answers=answers).run(missing)


def load(given: argparse.Namespace) -> LoadedModel:
    """Load the model of a board.

    Raises:
        EvopError: an argument or the model cannot be used.
    """
    cells = cells_of(given.methods, given.sparsity, given.granularity, given.seeds)
    config = _checked(given, cells)
    _tell(f"loading the model {given.model}")
    where = {where_weights(config_of(config, cell)) for cell in cells[1:]}
    # One method that needs all weights in memory has them there for all.
    weights = "resident" if "resident" in where else given.weights
    return load_named(config, Progress(), weights=weights)


def _checked(given: argparse.Namespace, cells: Sequence[Cell]) -> SearchConfig:
    """Return the settings that do not depend on the cell, after checks that need no model."""
    config = _settings_of(given)
    for cell in cells[1:]:
        config_of(config, cell)
    check_sizes(given)
    check_questions(config)
    if (earlier := given.patterns_from) is not None and not earlier.is_dir():
        raise InputError(
            f"`patterns_from` must be a folder of cells, but {earlier} has no {DENSE}.json"
        )
    if given.equal_cost and SEARCH not in given.methods:
        raise InputError(f"`equal_cost` needs {SEARCH} among `methods`, whose cost it takes")
    return config


def _settings_of(given: argparse.Namespace) -> SearchConfig:
    return SearchConfig(
        model=given.model,
        dtype=given.dtype,
        device=given.device,
        corpus=" ".join(given.corpus),
        window=given.window,
        tokens=given.tokens,
        heldout_tokens=given.window,
        max_cost=given.max_cost,
        sparsity=given.sparsity[0],
        weights=given.weights,
        fitness=given.fitness,
        questions=tuple(given.questions),
        compensate=given.compensate,
        compensation_tokens=given.compensation_tokens,
    )


@dataclass(frozen=True, eq=False)
class _Making:
    """Making of cells in the folder of a board."""

    given: argparse.Namespace
    bench: Bench
    plan: EvaluationPlan
    protocol: dict[str, Any]
    beside: Sequence[Path]
    earlier: EarlierRuns | None
    answers: AnsweredTogether | None = None

    def run(self, missing: Sequence[Cell]) -> list[Cell]:
        """Run these cells one after the other; a failure does not stop the others."""
        failed, waiting = [], []
        for number, cell in enumerate(missing, start=1):
            cost = self._limit(cell)
            if cost is None:
                waiting.append(cell)
                continue
            with claimed(path_of(self.given.output, cell.name)) as mine:
                if not mine:  # another process works on the same board
                    continue
                try:
                    said = self._make(self.bench.limited(cost), cell)
                except EvopError as error:
                    said = f"{cell.name} could not be made: {error}"
                    failed.append(cell)
            _tell(f"{number}/{len(missing)} {said}")
        if waiting and len(waiting) < len(missing):
            return failed + self.run(waiting)
        for cell in waiting:
            _tell(f"{cell.name} waits for the search of its seed: the same command makes it later")
        return failed

    def _make(self, bench: Bench, cell: Cell) -> str:
        """Make a cell, write its file and return a line about it."""
        if self.earlier is None:
            model, found = prune(bench, cell)
            result = {"found": found}
        else:
            result = dict(self.earlier.of(cell))
            found = result["found"]
            model = pruned_before(bench, cell, found["dropped"])
        run = {"protocol": self.protocol, "cell": cell.as_dict(), **result}
        known = evaluated_before((self.given.output, *self.beside), run)
        judged = known or evaluate_model(model, bench.loaded, self.plan)
        if self.answers is not None:
            judged = {**judged, "tasks": self.answers.tasks_of(cell.granularity, found["dropped"])}
        run["judged"] = judged
        write_run(self.given.output, cell.name, {**run, **circumstances()})
        return _line(cell, found)

    def _limit(self, cell: Cell) -> float | None:
        """Return the limit on the cost of a cell; None if it is that of a search not yet made."""
        searches = cell.method in METHODS and METHODS[cell.method].searches
        if self.earlier or not (self.given.equal_cost and searches):
            return float(self.given.max_cost)
        path = path_of(self.given.output, replace(cell, method=SEARCH).name)
        return float(read_run(path)["found"]["search_cost"]) if path.exists() else None


def _line(cell: Cell, found: dict[str, Any]) -> str:
    if cell.method == DENSE:
        return DENSE
    return (
        f"{cell.name}: without {', '.join(found['dropped'])}; cost {found['cost']:.1f}, "
        f"{found['seconds']:.0f} s"
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
