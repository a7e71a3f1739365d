"""One search at several budgets: one model, one memory of losses, the smallest budget first.

What one budget has paid for informs the next: its losses teach the surrogate, and its best
patterns grow into first patterns there. Each budget has its own evolution and its own folder, an
ordinary run's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from evop_deap.settings.search_config import SEARCH, SearchConfig
from evop_deap.base.errors import InputError
from evop_deap.evolution.state import EvolutionState
from evop_deap.base.files import write_json, write_text
from evop_deap.runs.storage.checkpoint import Checkpoint
from evop_deap.runs.storage.curve import Curve
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.search_evaluator import Judge, open_judge
from evop_deap.runs.single import draw_report, effective, run_budget, stored_in
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.runs.storage.result import SearchResult
from evop_deap.runs.stages.prepare import Subject, prepare_all
from evop_deap.settings.shares import in_order


def run_budgets(
    config: SearchConfig,
    sparsities: Iterable[float],
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Curve:
    """Search at several budgets, and export what is left at each.

    Args:
        config: what to search, and how; its limits hold for each budget, and its `sparsity` for
            none.
        sparsities: shares of the units to drop, no two alike.
        output: folder of the run. A folder in it for each budget is a run of its own; beside
            them, `curve.json` and a `report.html` lay all side by side.
        resume: go on where a run in `output` was interrupted, or begin where there is none.
        overwrite: replace the run in `output`.
        progress: told what is going on.

    Returns:
        What was found at each budget.

    Raises:
        EvopError: bad input, a model that cannot be pruned exactly, a foreign checkpoint, or
            a place that cannot be written; its message is one line.

    Example:
        >>> run_budgets(SearchConfig(model="demo", sparsity=0.1), (0.1, 0.2), "runs/curve")
        ... # doctest: +SKIP
    """
    began = time.monotonic()
    progress = progress or Progress()
    if config.pareto != "none":
        raise InputError("`pareto` asks for a whole front: run_front searches it")
    shares = in_order(sparsities)
    configs = [config.replace(sparsity=share) for share in shares]
    opened = RunFolder.opened(output, resume=resume, overwrite=overwrite, several=True)
    with closing(progress), opened as folder:
        return _run(configs, folder, resume, overwrite, progress, began)


def _run(
    configs: Sequence[SearchConfig],
    folder: RunFolder,
    resume: bool,
    overwrite: bool,
    progress: Progress,
    began: float,
) -> Curve:
    """The run itself, in a folder that is this process's alone."""
    subjects = prepare_all(configs, progress)
    configs = [effective(config, subjects[0]) for config in configs]
    places = [folder.budget(config.sparsity or 0.0) for config in configs]
    stored = [
        stored_in(place, config, subject) if resume else None
        for place, config, subject in zip(places, configs, subjects, strict=True)
    ]
    with open_judge(configs[0], subjects[0], _latest(stored), progress) as judge:
        if overwrite:
            folder.clear()
        write_settings(folder, configs)
        folder.curve.unlink(missing_ok=True)
        loading = time.monotonic() - began
        results = _search_all(configs, subjects, places, stored, judge, progress, loading)
    curve = Curve(
        results=tuple(results),
        sparsities=tuple(config.sparsity or 0.0 for config in configs),
        folders=tuple(place.path.name for place in places),
        shared_cost=judge.dense_cost,
    )
    draw_report(places, folder.report, progress)
    write_json(folder.curve, curve.as_dict())
    return curve


def _search_all(
    configs: Sequence[SearchConfig],
    subjects: Sequence[Subject],
    places: Sequence[RunFolder],
    stored: Sequence[Checkpoint | None],
    judge: Judge,
    progress: Progress,
    seconds: float,
) -> list[SearchResult]:
    """Each budget in turn, but for those that an earlier process has finished.

    What was spent before them, in `seconds`, counts for the first one that is searched.
    """
    results = []
    smaller: EvolutionState | None = None
    for config, subject, place, before in zip(configs, subjects, places, stored, strict=True):
        known = _finished(config, place, before)
        if before is not None and known is not None:
            state, result = before.state, known
            if not place.report.exists():  # killed between the two
                draw_report([place], place.report, progress)
        else:
            count, units = subject.space.n_drop, len(subject.space.units)
            progress.budget(
                place.path, f"sparsity {config.sparsity:g}: {count} of {units} units go"
            )
            with place.exclusive():
                state, result = run_budget(
                    config, subject, place, judge, before, smaller, seconds, progress
                )
            seconds = 0.0
        smaller = state if config.method == SEARCH else None
        results.append(result)
    return results


def _latest(stored: Iterable[Checkpoint | None]) -> Checkpoint | None:
    """The checkpoint that was written last: the one that knows most."""
    found = [checkpoint for checkpoint in stored if checkpoint is not None]
    return max(found, key=_known, default=None)


def _known(checkpoint: Checkpoint) -> int:
    """How many windows of how many patterns."""
    return sum(int((~np.isnan(row)).sum()) for row in checkpoint.rows.values())


def _finished(
    config: SearchConfig, place: RunFolder, stored: Checkpoint | None
) -> SearchResult | None:
    """The result of a budget at which nothing is left to do."""
    if stored is None or not place.result.exists():
        return None
    result, state = load_run(place.path).result, stored.state
    reason = config.stopping.reason(
        state.generation,
        evaluations=state.evaluations,
        cost=state.cost,
        seconds=state.seconds,
        stagnant=state.generation - state.best_since,
    )
    done = result is not None and result.generations == state.generation and reason is not None
    return result if done else None


def write_settings(folder: RunFolder, configs: Sequence[SearchConfig]) -> None:
    """Put down what will be done; `--config` takes it."""
    import yaml

    settings = {**configs[0].as_dict(), "sparsity": [config.sparsity for config in configs]}
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.remove_leftovers()
    write_text(folder.config, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
