"""A whole search, from settings to a checked checkpoint: what the command line runs.

model → anatomy → search space; corpus → calibration set; both → evaluator → evolution →
pattern → export → result.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from evop_deap.settings.search_config import SearchConfig
from evop_deap.settings.config_files import settings_as_yaml
from evop_deap.base.errors import InputError
from evop_deap.evolution.state import EvolutionState
from evop_deap.base.files import write_json, write_text
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.runs.draw_calibration import settled_by
from evop_deap.runs.storage.checkpoint import Checkpoint, load_checkpoint
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.stages.measure import hand_over
from evop_deap.runs.search_evaluator import Judge, open_judge
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.storage.history import recording
from evop_deap.runs.storage.result import SearchResult
from evop_deap.runs.storage.identity import identity
from evop_deap.runs.stages.find_pattern import find_pattern
from evop_deap.runs.stages.prepare import Subject, prepare

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
    if config.pareto != "none":
        raise InputError("`pareto` asks for a whole front: run_front searches it")
    opened = RunFolder.opened(output, resume=resume, overwrite=overwrite)
    with closing(progress), opened as folder:
        return _run(config, folder, resume, overwrite, progress, began)


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
    config = effective(config, subject)
    stored = stored_in(folder, config, subject) if resume else None
    with open_judge(config, subject, stored, progress) as judge:
        if overwrite:
            folder.clear()
        write_beginning(folder, config, subject, stored)
        before_search = time.monotonic() - began
        record = recording(folder, identity(config, subject), judge, subject.space)
        state, merged = find_pattern(config, subject, judge, stored, progress, record)
    return finish(
        config, subject, folder, judge, state, merged, before_search + state.seconds, progress
    )


def run_budget(
    config: SearchConfig,
    subject: Subject,
    folder: RunFolder,
    judge: Judge,
    stored: Checkpoint | None,
    smaller: EvolutionState | None,
    seconds: float,
    progress: Progress,
) -> tuple[EvolutionState, SearchResult]:
    """Run one budget of several: its model is loaded, and its evaluator has been in use.

    Args:
        config: the effective settings.
        subject: what is searched.
        folder: of this budget alone.
        judge: knows what all budgets have paid for.
        stored: where this budget was interrupted.
        smaller: the end of the search at the next smaller budget, whose patterns this one grows.
        seconds: spent on what comes before this search and counts as its own.
        progress: told what is going on.
    """
    write_beginning(folder, config, subject, stored)
    record = recording(folder, identity(config, subject), judge, subject.space)
    state, merged = find_pattern(config, subject, judge, stored, progress, record, smaller)
    seconds += state.seconds
    return state, finish(config, subject, folder, judge, state, merged, seconds, progress)


def effective(config: SearchConfig, subject: Subject) -> SearchConfig:
    """The settings as they turned out, with nothing left to choose."""
    config = settled_by(config, subject.text)
    return config.replace(dtype=str(subject.loaded.model.dtype).removeprefix("torch."))


def stored_in(folder: RunFolder, config: SearchConfig, subject: Subject) -> Checkpoint | None:
    """What an earlier process has left of this search.

    Raises:
        CheckpointError: it is damaged, or of another search.
    """
    if not folder.checkpoint.exists():
        return None
    return load_checkpoint(folder.checkpoint, identity(config, subject))


def finish(
    config: SearchConfig,
    subject: Subject,
    folder: RunFolder,
    judge: Judge,
    state: EvolutionState,
    merged: PreTrainedModel | None,
    seconds: float,
    progress: Progress,
) -> SearchResult:
    """From the end of a search to everything that is left of it."""
    progress.stage("exporting the pruned model and checking it")
    with quiet_transformers():
        result = hand_over(
            config, subject, folder, state, judge=judge, merged=merged, seconds=seconds
        )
    draw_report([folder], folder.report, progress)
    progress.finished(result)
    return result


def draw_report(runs: Sequence[RunFolder], output: Path, progress: Progress) -> None:
    """Show runs as a page; one that cannot be drawn takes nothing from them."""
    try:
        from evop_deap.reporting.page import write_report

        write_report([run.path for run in runs], output)
    except Exception as error:  # whatever it is, the model and its figures are written
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        progress.stage(f"no report.html, everything else is written ({reason})")


def write_beginning(
    folder: RunFolder, config: SearchConfig, subject: Subject, stored: Checkpoint | None
) -> None:
    """Put down what will be done, and clear away what a killed process left half-written."""
    write_text(folder.config, settings_as_yaml(config))
    write_json(folder.calibration, subject.text.manifest)
    folder.remove_leftovers()
    folder.cut_history(stored.state.generation if stored else -1)
