"""Search for a Pareto front of loss against size, and export checkpoints at chosen points.

One evolution over patterns with any number of drops serves all points. Each point has a folder
with the layout of a run, next to the state of the search and `front.json`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evop_deap.base.data_files import read_json
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.base.formatting import counted
from evop_deap.base.typed import typed
from evop_deap.evolution.assemble import assemble_front
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.trade import Trade, best_within, front_of
from evop_deap.runs.context import Context
from evop_deap.runs.pipeline import run_stages, write_beginning
from evop_deap.runs.recorder import Recorder
from evop_deap.runs.stages.found import Found
from evop_deap.runs.storage.checkpoint import Checkpoint
from evop_deap.runs.storage.file_shapes import LatencyEntry
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.storage.loaded_run import whole_result
from evop_deap.runs.storage.result import SearchResult
from evop_deap.space import dropped_units


def search_front(
    contexts: Sequence[Context], whole: Context, stored: Checkpoint | None, began: float
) -> tuple[list[SearchResult], EvolutionState, dict[str, Any]]:
    """Search for the front, and run the later stages for the best pattern at each point.

    Args:
        contexts: one for each point, from the smallest share dropped.
        whole: context of the search, with the folder above the points.
        stored: checkpoint of an interrupted search, or None.
        began: start of the run on the monotonic clock, in seconds.

    Returns:
        The result at each point, the state of the search, and the content of `front.json`.
    """
    config, progress = whole.config, whole.progress
    recorder = Recorder(whole, stored)
    trade = _trade(whole)
    loading = time.monotonic() - began
    state = stored.evolution if stored else None
    progress.searching(state.evaluations if state else 0, None)
    search = assemble_front(trade, whole.evaluator.cached, whole.rng, config.evolution)
    state = search.run(config.stopping, state, callbacks=(recorder.record, progress.generation))
    progress.close()
    if stored and state.generation == stored.state.generation:
        progress.stage(f"nothing is left to search: it stopped {state.stopped}")
    results: list[SearchResult] = []
    for context in contexts:
        # The first point is charged for what all have in common.
        searched, loaded = (0.0, 0.0) if results else (state.seconds, loading)
        with context.folder.exclusive():
            results.append(_finished(context, state) or _at_point(context, state, searched, loaded))
    return results, state, _front(whole, state, trade)


def _at_point(
    context: Context, state: EvolutionState, searched: float, loaded: float
) -> SearchResult:
    """Run the later stages for the best pattern that drops at least `n_drop` units.

    Args:
        context: the point.
        state: of the search.
        searched: seconds of the search that are charged to this point.
        loaded: seconds before the search that are charged to it.
    """
    n_drop, folder = context.space.n_drop, context.folder
    found = replace(_within(state, n_drop), seconds=searched)
    share = context.config.share
    context.progress.budget(folder.path, f"sparsity {share:g}: the best on the front")
    write_beginning(context, -1)
    return run_stages(context, found, Recorder(context, None), loaded + searched)


def _within(state: EvolutionState, n_drop: int) -> Found:
    """Return the outcome of the search restricted to patterns with at least `n_drop` drops.

    Raises:
        InputError: the search has evaluated no such pattern.
    """
    best = best_within(state, n_drop)
    if best is None:
        raise InputError(
            f"`pareto` has evaluated no pattern that drops {counted(n_drop, 'unit')}: search for "
            "longer"
        )
    losses = {pattern: loss for pattern, loss in state.losses.items() if pattern.count(0) >= n_drop}
    found = Found.of_evolution(state)
    return replace(found, pattern=best, loss=losses[best], losses=losses)


def _finished(context: Context, state: EvolutionState) -> SearchResult | None:
    """Return the result of a point that is already written for this state, else None."""
    result = whole_result(context.folder)
    if result is None or not context.folder.report.exists():
        return None
    return result if result.generations == state.generation else None


def _trade(whole: Context) -> Trade:
    """Return the size to trade for loss: parameters, or milliseconds measured once for a run."""
    space, units, model = whole.space, whole.space.units, whole.loaded.model
    if whole.config.pareto == "parameters":
        from evop_deap.models.anatomy.element_counts import elements

        weights = [unit.parameters for unit in units]
        total = elements(model)
        return Trade(space, tuple(map(float, weights)), fixed=float(total - sum(weights)))
    known = _latencies(whole, whole.folder)
    sizes = tuple(known.milliseconds[unit.name] for unit in units)
    return Trade(space, sizes, fixed=known.rest)


def _latencies(whole: Context, folder: RunFolder) -> LatencyEntry:
    """Return the milliseconds of each unit; the first process of the run measures them.

    Raises:
        InputError: the file of an earlier process was changed.
    """
    if not folder.latency.exists():
        from evop_deap.models.anatomy.latency import unit_milliseconds

        whole.progress.stage("timing every unit")
        model, window = whole.loaded.model, whole.text.calibration.tokens[0]
        times, rest = unit_milliseconds(model, whole.anatomy, window)
        names = (unit.name for unit in whole.space.units)
        named = dict(zip(names, times, strict=True))
        measured = {"tokens": len(window), "device": model.device.type}
        write_json(folder.latency, {**measured, "milliseconds": named, "rest": rest})
    try:
        known = typed(LatencyEntry, read_json(folder.latency, str(folder.latency)))
    except InputError as error:
        raise InputError(
            f"{folder.latency}: {error}: delete it to time every unit again"
        ) from error
    if lacking := [unit.name for unit in whole.space.units if unit.name not in known.milliseconds]:
        raise InputError(f"{folder.latency}: milliseconds.{lacking[0]}: is missing")
    return known


def _front(whole: Context, state: EvolutionState, trade: Trade) -> dict[str, Any]:
    """Return the front as JSON values, from the largest model to the smallest."""
    from evop_deap.models.anatomy.element_counts import elements

    units, last = whole.space.units, state.records[-1]
    by_parameters = whole.config.pareto == "parameters"
    members = sorted(front_of(state, trade), key=lambda member: -trade.size(member))
    dense = elements(whole.loaded.model)
    rows = []
    for member in members:
        dropped = dropped_units(member)
        row: dict[str, Any] = {
            "dropped": [units[unit].name for unit in dropped],
            "parameters": dense - sum(units[unit].parameters for unit in dropped),
            "loss": member.loss,
        }
        rows.append(row if by_parameters else {**row, "milliseconds": trade.size(member)})
    return {
        "size": "parameters" if by_parameters else "milliseconds",
        "front": rows,
        "hypervolume": last["hypervolume"],
        "reference": {"loss": last["reference_loss"], "size": last["reference_size"]},
    }
