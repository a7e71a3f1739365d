"""A whole run, from settings to checked checkpoints: the work of `python -m evop_deap.search`.

A single budget writes one run's folder. Several budgets, or a front, write one such folder each
and a curve next to them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from evop_deap.base.errors import ExportError, InputError
from evop_deap.base.files import write_json, write_text
from evop_deap.base.formatting import counted
from evop_deap.runs.budgets import search_budgets
from evop_deap.runs.context import Context
from evop_deap.runs.files_of_runs import check_outside_runs
from evop_deap.runs.folders_of_models import check_outside_models
from evop_deap.runs.front import search_front
from evop_deap.runs.identity import stored_in
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.pipeline import write_beginning
from evop_deap.runs.search_evaluator import open_evaluator
from evop_deap.runs.stages.conclude import draw_report
from evop_deap.runs.stages.prepare import prepare_all
from evop_deap.runs.storage.curve import Curve
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.search_config import SearchConfig
from evop_deap.settings.shares import as_written


def run_search(
    config: SearchConfig,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SearchResult | Curve:
    """Search for the parts that `config.model` can do without, and export the pruned model.

    Args:
        config: settings of the search. Its limits hold for each budget.
        output: folder of the run; `RunFolder` lists its files.
        resume: continue the run in `output`, or begin one if there is none.
        overwrite: replace the run in `output`.
        progress: receives progress messages; silent by default.

    Returns:
        The result, as written to `result.json`; for several budgets or a front, the results of
        all, as written to `curve.json`.

    Raises:
        EvopError: bad input, a model that cannot be pruned exactly, a checkpoint of another run,
            or a folder that cannot be written; the message is one line. ExportError: nothing that
            was found can be exported; the results are written.

    Example:
        >>> run_search(SearchConfig(model="demo", sparsity=0.2), "runs/demo")  # doctest: +SKIP
    """
    began = time.monotonic()
    progress = progress or Progress()
    check_outside_models(Path(output), "output", (config.model, config.export_from))
    check_outside_runs(Path(output), "output")
    opened = RunFolder.opened(output, resume=resume, overwrite=overwrite, several=config.several)
    with closing(progress), opened as folder:
        found = _run(config, folder, resume, overwrite, progress, began)
    _refuse_unexported(found, folder)
    return found


def run_budgets(
    config: SearchConfig,
    sparsities: Iterable[float],
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Curve:
    """Run `run_search` over several budgets, or for a front with several points.

    Args:
        config: settings of the search; its `sparsity` is ignored.
        sparsities: two or more different shares of the units to drop. For a front, each is a
            point: the best pattern that drops at least this share is exported. The largest
            share bounds the front.
        output: folder of the run; see `run_search` for this and the following arguments.
        resume: continue the run in `output`.
        overwrite: replace the run in `output`.
        progress: receives progress messages.

    Example:
        >>> run_budgets(SearchConfig(model="demo", sparsity=0.1), (0.1, 0.2), "runs/curve")
        ... # doctest: +SKIP
    """
    several = config.replace(sparsity=tuple(sparsities))
    if not several.several:
        raise InputError(
            f"`sparsities` must hold two shares or more, but got {as_written(several.sparsity)}: "
            "run_search searches at one"
        )
    curve = run_search(several, output, resume=resume, overwrite=overwrite, progress=progress)
    assert isinstance(curve, Curve)
    return curve


run_front = run_budgets
"""`run_budgets` for settings with `pareto`, the size to trade for loss."""


def _run(
    config: SearchConfig,
    folder: RunFolder,
    resume: bool,
    overwrite: bool,
    progress: Progress,
    began: float,
) -> SearchResult | Curve:
    """Run the search in a folder that this process has locked."""
    several, front = config.several, config.pareto != "none"
    prepared = prepare_all(config.each_budget, progress)
    places = [folder.budget(one.config.share) for one in prepared] if several else [folder]
    # A front is one search; its state is in the folder above its points.
    searched = [(folder, prepared[-1])] if front else list(zip(places, prepared, strict=True))
    stored = [stored_in(place, one) if resume else None for place, one in searched]
    latest = max(filter(None, stored), key=lambda known: known.windows_known, default=None)
    with open_evaluator(prepared[-1], latest, progress) as evaluator:
        if overwrite:
            folder.clear()
        contexts = [
            Context(**vars(one), evaluator=evaluator, folder=place, progress=progress)
            for one, place in zip(prepared, places, strict=True)
        ]
        content: dict[str, Any] = {}
        if front:
            whole = replace(contexts[-1], folder=folder)
            write_beginning(whole, stored[0].state.generation if stored[0] else -1)
        if several:
            _write_settings(folder, config, contexts[0])
            folder.curve.unlink(missing_ok=True)
        shared_cost, shared_evaluations = evaluator.dense_cost, 0
        if front:
            results, state, content = search_front(contexts, whole, stored[0], began)
            shared_cost, shared_evaluations = shared_cost + state.cost, state.evaluations
        else:
            results = search_budgets(contexts, stored, began, alone=not several)
    if not several:
        return results[0]
    curve = Curve(
        results=tuple(results),
        sparsities=config.sparsity,
        folders=tuple(place.path.name for place in places),
        shared_cost=shared_cost,
        shared_evaluations=shared_evaluations,
    )
    if front:
        write_json(folder.front, {**content, "total": curve.as_dict()["total"]})
    draw_report([place.path for place in places], folder.report, progress)
    write_json(folder.curve, curve.as_dict())
    return curve


def _refuse_unexported(found: SearchResult | Curve, folder: RunFolder) -> None:
    """Raise the error of a finished run in which a pattern could not be exported."""
    made = [(found, folder.path)] if isinstance(found, SearchResult) else []
    if isinstance(found, Curve):
        places = [folder.path / name for name in found.folders]
        made = list(zip(found.results, places, strict=True))
    for result, place in made:
        if result.checkpoint is None:
            first, others = result.refused[0], len(result.refused) - 1
            tried = f", nor can {counted(others, 'other close pattern')}" if others else ""
            raise ExportError(
                f"the pattern without {', '.join(first['dropped'])} cannot be exported{tried}: "
                f"{first['reason']}; its result.json and pattern files are in {place}, without "
                "model/: `protect` one of these units and search again, or `apply` another pattern"
            )


def _write_settings(folder: RunFolder, config: SearchConfig, effective: Context) -> None:
    """Write the settings of all budgets as a file for `--config`."""
    import yaml

    settings = {**effective.config.as_dict(), "sparsity": list(config.sparsity)}
    folder.path.mkdir(parents=True, exist_ok=True)
    write_text(folder.config, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
