"""A whole search, from settings to a checked checkpoint: what the command line runs.

model → anatomy → search space; corpus → calibration set; both → evaluator → evolution →
pattern → export → result.
"""

from __future__ import annotations

import dataclasses
import math
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.config import BALANCED, SEARCH, SearchConfig, settings_as_yaml
from evop_deap.evolution import Callback, evolve
from evop_deap.evolution_state import EvolutionSettings, EvolutionState
from evop_deap.files import write_json, write_text
from evop_deap.models.quiet import quiet_transformers
from evop_deap.racing import race
from evop_deap.run.by_heuristic import pick_pattern
from evop_deap.run.calibrating import settled_by
from evop_deap.run.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from evop_deap.run.folder import RunFolder
from evop_deap.run.handover import hand_over
from evop_deap.run.judge import Judge, open_judge
from evop_deap.run.progress import Progress
from evop_deap.run.result import SearchResult
from evop_deap.run.resuming import identity
from evop_deap.run.seeding import find_seeds
from evop_deap.run.subject import Subject, prepare
from evop_deap.space import SearchSpace, dropped_units
from evop_deap.stopping import Stopping
from evop_deap.surrogate.preference import register_surrogate, surrogate_of
from evop_deap.toolbox import make_toolbox

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def run_search(
    config: SearchConfig,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SearchResult:
    """Search for the blocks that `config.model` can do without, and export what is left.

    Args:
        config: what to search, and how.
        output: folder of the run; see `RunFolder` for what is written there.
        resume: go on where a run in `output` was interrupted, or begin where there is none.
        overwrite: replace the run in `output`.
        progress: told what is going on.

    Returns:
        What was found, as written to `result.json`.

    Raises:
        EvopError: bad input, a model that cannot be pruned exactly, a foreign checkpoint, or
            a place that cannot be written; its message is one line.

    Example:
        >>> run_search(SearchConfig(model="demo", sparsity=0.2), "runs/demo")  # doctest: +SKIP
    """
    began = time.monotonic()
    progress = progress or Progress()
    folder = RunFolder(Path(output))
    folder.check_usable(resume=resume, overwrite=overwrite)
    try:
        with folder.exclusive():
            return _run(config, folder, resume, overwrite, progress, began)
    finally:
        progress.close()


def _run(
    config: SearchConfig,
    folder: RunFolder,
    resume: bool,
    overwrite: bool,
    progress: Progress,
    began: float,
) -> SearchResult:
    """The run itself, in a folder that is this process's alone."""
    subject = prepare(config, progress)
    config = settled_by(config, subject.text)
    config = config.replace(dtype=str(subject.loaded.model.dtype).removeprefix("torch."))
    stored = None
    if resume and folder.checkpoint.exists():
        stored = load_checkpoint(folder.checkpoint, identity(config, subject))
    with open_judge(config, subject, stored, progress) as judge:
        if overwrite:
            folder.clear()
        _write_beginning(folder, config, subject, stored)
        before_search = time.monotonic() - began
        record = _recording(folder, identity(config, subject), judge, subject.space)
        state, merged = find_pattern(config, subject, judge, stored, progress, record)
    progress.stage("exporting the pruned model and checking it")
    with quiet_transformers():
        result = hand_over(
            config,
            subject,
            folder,
            state,
            judge=judge,
            merged=merged,
            seconds=before_search + state.seconds,
        )
    _write_report(folder, progress)
    progress.finished(result)
    return result


def _write_report(folder: RunFolder, progress: Progress) -> None:
    """Show the run as a page; one that cannot be drawn takes nothing from the run."""
    from evop_deap.reporting.page import write_report

    try:
        write_report([folder.path], folder.report)
    except Exception as error:  # whatever it is, the model and its figures are written
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        progress.stage(f"no report.html, everything else is written ({reason})")


def _write_beginning(
    folder: RunFolder, config: SearchConfig, subject: Subject, stored: Checkpoint | None
) -> None:
    """Put down what will be done, and clear away what a killed process left half-written."""
    write_text(folder.config, settings_as_yaml(config))
    write_json(folder.calibration, subject.text.manifest)
    folder.remove_leftovers()
    folder.cut_history(stored.state.generation if stored else -1)


def find_pattern(
    config: SearchConfig,
    subject: Subject,
    judge: Judge,
    stored: Checkpoint | None,
    progress: Progress,
    record: Callback,
) -> tuple[EvolutionState, PreTrainedModel | None]:
    """Evolve from the beginning, or from where `stored` ends; or let a heuristic pick.

    The model that comes back is what a rule that merges blocks has made of them.

    Args:
        config: the effective settings.
        subject: what a pattern is wanted for.
        judge: the evaluator.
        stored: where an interrupted run of the same ended.
        progress: told what is going on.
        record: called with the state after each generation.
    """
    stopping = Stopping(
        generations=config.generations,
        evaluations=config.max_evaluations,
        cost=config.max_cost,
        seconds=config.max_seconds,
        patience=config.patience,
    )
    settings = EvolutionSettings(
        population=config.population,
        offspring=config.offspring,
        crossover=config.crossover,
        mutation=config.mutation,
    )
    if config.method != SEARCH:
        if stopping.evaluations is stopping.cost is stopping.seconds is None:
            # As many patterns as the search would judge.
            most = expected_evaluations(settings, stopping, subject.space)
            stopping = dataclasses.replace(stopping, evaluations=most)
        return pick_pattern(config, subject, judge, stopping, stored, progress, record)
    rng = random.Random(config.seed)
    toolbox = make_toolbox(
        subject.space,
        judge.evaluator,
        rng,
        tournament=config.tournament,
        neighbour=config.neighbour,
        more_swaps=config.more_swaps,
    )
    if judge.racing is not None:
        toolbox.register(
            "choose",
            race,
            evaluator=judge.evaluator,
            racing=judge.racing,
            size=config.population,
        )
    if (surrogate := surrogate_of(config.surrogate)) is not None:
        register_surrogate(toolbox, surrogate, judge.evaluator, subject.space, rng)
    if config.init != (BALANCED,):
        toolbox.register("seed", find_seeds, config, subject, judge, stopping, progress)
    state = stored.state if stored else None
    progress.searching(
        state.evaluations if state else 0,
        expected_evaluations(settings, stopping, subject.space),
    )
    state = evolve(
        toolbox,
        rng,
        settings=settings,
        stopping=stopping,
        state=state,
        callbacks=(record, progress.generation),
    )
    progress.close()
    return state, None


def expected_evaluations(
    settings: EvolutionSettings, stopping: Stopping, space: SearchSpace
) -> int | None:
    """How many patterns a search will evaluate at the most; None where only time ends it."""
    limits = [space.size]
    if stopping.generations is not None:
        limits.append(settings.population + stopping.generations * settings.offspring)
    if stopping.evaluations is not None:
        limits.append(stopping.evaluations)
    return min(limits) if len(limits) > 1 or space.size < 10_000 else None


def _recording(
    folder: RunFolder, run_identity: dict[str, Any], judge: Judge, space: SearchSpace
) -> Callback:
    """A callback that writes down each generation."""

    def record(state: EvolutionState) -> None:
        # The history first: a row too many is cut on resuming, a missing one would stay so.
        folder.append_history(_history_row(state, space))
        checkpoint = Checkpoint(
            run_identity, judge.evaluator.rows, judge.dense_cost, judge.kept.names, state
        )
        save_checkpoint(folder.checkpoint, checkpoint)
        # Others may have it only now: a resumed run must not find what it has not recorded.
        judge.release()

    return record


def _history_row(state: EvolutionState, space: SearchSpace) -> dict[str, Any]:
    """The logbook's row of the last generation, its best pattern, and how many drop each unit."""
    row = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in state.records[-1].items()
    }
    dropped = [space.units[i].name for i in dropped_units(state.best.pattern)]
    drops = {
        unit.name: sum(1 - genome[place] for genome in state.population)
        for place, unit in enumerate(space.units)
    }
    return {**row, "dropped": dropped, "drops": drops, "seconds": round(state.seconds, 3)}
