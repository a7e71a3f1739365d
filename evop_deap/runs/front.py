"""A whole front in one search: loss against size, and a checked checkpoint at chosen points.

One evolution over patterns of any number of drops serves all points. What it leaves is a run's
folder for each point, as `run_budgets` leaves one for each budget, and `front.json`.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from evop_deap.settings.search_config import SearchConfig
from evop_deap.base.errors import InputError
from evop_deap.evolution.assemble import assemble_front
from evop_deap.evolution.state import EvolutionState
from evop_deap.base.files import write_json
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.trade import Trade, best_within, front_of
from evop_deap.runs.budgets import write_settings
from evop_deap.runs.storage.curve import Curve
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.search_evaluator import Judge, open_judge
from evop_deap.runs.single import draw_report, effective, finish, stored_in, write_beginning
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.runs.storage.history import recording
from evop_deap.runs.storage.result import SearchResult
from evop_deap.runs.storage.identity import identity
from evop_deap.runs.stages.prepare import Subject, prepare_all
from evop_deap.settings.shares import in_order
from evop_deap.space import dropped_units


def run_front(
    config: SearchConfig,
    sparsities: Iterable[float],
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Curve:
    """Search for the front of loss against size, and export what is left at some points.

    Args:
        config: what to search, and how; `pareto` says what size is.
        sparsities: the points: the least loss that drops at least such a share is exported. The
            largest bounds how much may go.
        output: folder of the run.
        resume: go on where a run in `output` was interrupted, or begin where there is none.
        overwrite: replace the run in `output`.
        progress: told what is going on.

    Returns:
        What was found at each point; every result counts the work of the whole search.

    Raises:
        EvopError: bad input, a model that cannot be pruned exactly, a foreign checkpoint, or
            a place that cannot be written; its message is one line.

    Example:
        >>> config = SearchConfig(model="demo", sparsity=0.3, pareto="parameters")
        >>> run_front(config, (0.1, 0.2, 0.3), "runs/front")  # doctest: +SKIP
    """
    began = time.monotonic()
    progress = progress or Progress()
    if config.pareto == "none":
        raise InputError("`pareto` must say what is traded for loss: parameters or latency")
    configs = [config.replace(sparsity=share) for share in in_order(sparsities)]
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
    configs = [effective(config, subjects[-1]) for config in configs]
    config, subject = configs[-1], subjects[-1]
    stored = stored_in(folder, config, subject) if resume else None
    with open_judge(config, subject, stored, progress) as judge:
        if overwrite:
            folder.clear()
        write_beginning(folder, config, subject, stored)
        write_settings(folder, configs)
        trade = trade_of(config.pareto, subject, folder, progress)
        folder.curve.unlink(missing_ok=True)
        loading = time.monotonic() - began
        progress.searching(stored.state.evaluations if stored else 0, None)
        rng = random.Random(config.seed)
        state = assemble_front(trade, judge.evaluator, rng, config.evolution).run(
            config.stopping,
            state=stored.state if stored else None,
            callbacks=(
                recording(folder, identity(config, subject), judge, subject.space),
                progress.generation,
            ),
        )
        progress.close()
        curve = _points(configs, subjects, folder, judge, state, loading, progress)
    write_json(folder.front, _front(config.pareto, state, trade, subject, curve))
    draw_report([folder.budget(share) for share in curve.sparsities], folder.report, progress)
    write_json(folder.curve, curve.as_dict())
    return curve


def trade_of(what: str, subject: Subject, folder: RunFolder, progress: Progress) -> Trade:
    """What is traded for loss: parameters, or milliseconds as they were measured once for a run."""
    units = subject.space.units
    if what == "parameters":
        weights = [unit.parameters for unit in units]
        whole = sum(parameter.numel() for parameter in subject.loaded.model.parameters())
        return Trade(subject.space, tuple(map(float, weights)), fixed=float(whole - sum(weights)))
    if not folder.latency.exists():
        from evop_deap.models.anatomy.latency import unit_milliseconds

        progress.stage("timing every unit")
        window = subject.text.calibration.tokens[0]
        times, rest = unit_milliseconds(subject.loaded.model, subject.anatomy, window)
        named = dict(zip((unit.name for unit in units), times, strict=True))
        measured = {"tokens": len(window), "device": subject.loaded.model.device.type}
        write_json(folder.latency, {**measured, "milliseconds": named, "rest": rest})
    known = json.loads(folder.latency.read_text(encoding="utf-8"))
    sizes = tuple(known["milliseconds"][unit.name] for unit in units)
    return Trade(subject.space, sizes, fixed=known["rest"])


def _points(
    configs: Sequence[SearchConfig],
    subjects: Sequence[Subject],
    folder: RunFolder,
    judge: Judge,
    state: EvolutionState,
    loading: float,
    progress: Progress,
) -> Curve:
    """Hand over the best pattern at each point, but for those that an earlier process has."""
    results, seconds = [], loading + state.seconds
    for config, subject in zip(configs, subjects, strict=True):
        place = folder.budget(config.sparsity or 0.0)
        result = _handed_over(place, state)
        if result is None:
            at_point = _within(state, subject.space.n_drop)
            progress.budget(place.path, f"sparsity {config.sparsity:g}: the best on the front")
            with place.exclusive():
                write_beginning(place, config, subject, None)
                result = finish(config, subject, place, judge, at_point, None, seconds, progress)
        seconds = 0.0
        results.append(result)
    return Curve(
        results=tuple(results),
        sparsities=tuple(config.sparsity or 0.0 for config in configs),
        folders=tuple(folder.budget(config.sparsity or 0.0).path.name for config in configs),
        shared_cost=state.cost + judge.dense_cost,
        shared_evaluations=state.evaluations,
    )


def _within(state: EvolutionState, n_drop: int) -> EvolutionState:
    """The same search, as if it had been for patterns that drop so many units or more.

    Raises:
        InputError: it has judged none.
    """
    best = best_within(state, n_drop)
    if best is None:
        raise InputError(
            f"`pareto` has judged no pattern that drops {n_drop} units: search for longer"
        )
    losses = {pattern: loss for pattern, loss in state.losses.items() if pattern.count(0) >= n_drop}
    return replace(
        state,
        population=(Genome(best, loss=losses[best]),),
        losses=losses,
        beside=state.evaluations - len(losses),
    )


def _handed_over(place: RunFolder, state: EvolutionState) -> SearchResult | None:
    """The result of a point that this same search has handed over before."""
    if not (place.result.exists() and place.report.exists()):
        return None
    result = load_run(place.path).result
    return result if result is not None and result.generations == state.generation else None


def _front(
    what: str, state: EvolutionState, trade: Trade, subject: Subject, curve: Curve
) -> dict[str, Any]:
    """The front in plain JSON values, from the largest model to the smallest."""
    units, last = subject.space.units, state.records[-1]
    members = sorted(front_of(state, trade), key=lambda member: -trade.size(member))
    dense = sum(parameter.numel() for parameter in subject.loaded.model.parameters())
    rows = []
    for member in members:
        dropped = dropped_units(member)
        row: dict[str, Any] = {
            "dropped": [units[unit].name for unit in dropped],
            "parameters": dense - sum(units[unit].parameters for unit in dropped),
            "loss": member.loss,
        }
        rows.append(row if what == "parameters" else {**row, "milliseconds": trade.size(member)})
    return {
        "size": "parameters" if what == "parameters" else "milliseconds",
        "front": rows,
        "hypervolume": last["hypervolume"],
        "reference": {"loss": last["reference_loss"], "size": last["reference_size"]},
        "total": curve.as_dict()["total"],
    }
