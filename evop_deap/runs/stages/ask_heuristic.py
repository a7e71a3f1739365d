"""Run a heuristic instead of the evolution, with the same folder, checkpoints and later stages.

Each request of the heuristic to the evaluator counts as a generation. A resumed run repeats the
heuristic from the beginning. Losses that an earlier process paid for are cached, and are charged at
their original cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from evop_deap.base.numbers import finite_or_worst
from evop_deap.evolution.generation import Generation
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.logbook import record_of
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.meter import Meter
from evop_deap.fitness.protocol import Evaluation, Evaluator, Work
from evop_deap.heuristics.registry import METHODS
from evop_deap.heuristics.task import Pick, Task
from evop_deap.runs.context import Context
from evop_deap.runs.pruned_model import PrunedModel, changed_model, evaluate_changed
from evop_deap.runs.stages.found import Found
from evop_deap.runs.storage.checkpoint import Checkpoint
from evop_deap.runs.storage.heuristic_state import HeuristicState
from evop_deap.space import Pattern, SearchSpace, dropped_units


def ask_heuristic(
    context: Context,
    stopping: Stopping,
    stored: Checkpoint | None,
    record: Callable[[HeuristicState], object],
) -> Found:
    """Pick a pattern with the heuristic of the settings, and evaluate it on all windows.

    Args:
        context: the run.
        stopping: limits for heuristics that search.
        stored: checkpoint of an interrupted run, or None.
        record: called with the state after each request.
    """
    config, progress, evaluator = context.config, context.progress, context.evaluator.cached
    method = METHODS[config.method]
    progress.stage(f"choosing by {method.title}")
    if (said := method.unheeded(config.stopping)) is not None:
        progress.stage(said)
    progress.searching(0, stopping.evaluations if method.searches else None)

    def told(state: HeuristicState) -> None:
        record(state)
        progress.generation(state)

    ledger = Ledger(evaluator, context.space, stored.heuristic if stored else None, told)
    pick = method(Task(context.space, ledger, context.rng, stopping, context.model_parts))
    pruned = _changed(context, pick)
    if pruned is None:
        evaluated = evaluator.evaluate([pick.pattern])
    else:
        evaluated = evaluate_changed(context, pruned, pick.pattern)
    state = ledger.settle(pick, evaluated)
    progress.close()
    limit = stopping.reason(
        0, evaluations=pick.evaluations, cost=pick.cost, seconds=state.seconds, stagnant=0
    )
    losses = pick.losses or {pick.pattern: state.best.loss}
    return Found(
        pattern=pick.pattern,
        loss=state.best.loss,
        losses=losses,
        evaluations=state.evaluations,
        cache_hits=state.cache_hits,
        cost=state.cost,
        work=ledger.work,
        generations=state.generation,
        stopped=(method.searches and limit) or "when the heuristic had picked",
        seconds=state.seconds,
        pruned=pruned,
    )


def _changed(context: Context, pick: Pick) -> PrunedModel | None:
    """Return the model with merged blocks, or None where the heuristic merges none."""
    if not pick.merges:
        return None
    from evop_deap.models.surgery.merging import merged_model

    gone = dropped_units(pick.pattern)
    return changed_model(merged_model(context.loaded.model, context.anatomy, gone, pick.merges))


class Ledger:
    """An evaluator that records each request as a generation of a search.

    Args:
        evaluator: evaluates patterns, with the losses of an earlier process in its cache.
        space: the patterns among which the best is chosen.
        earlier: last state of the earlier process, or None.
        told: called with the state after each request that the earlier process has not made.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        space: SearchSpace,
        earlier: HeuristicState | None,
        told: Callable[[HeuristicState], object],
    ) -> None:
        self._evaluator = evaluator
        self._meter = Meter(evaluator, space=space, charge=self._as_paid, after=self._record)
        self._earlier: Sequence[Mapping[str, Any]] = earlier.records if earlier else ()
        self._began = time.monotonic() - (earlier.seconds if earlier else 0.0)
        self._told = told
        self._records: list[Mapping[str, Any]] = []
        self._picked: Pattern | None = None

    @property
    def work(self) -> Work:
        """The work of all requests."""
        return self._meter.work

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate patterns and record the request, at the cost that it had originally."""
        asked = self._meter if len(patterns) else self._evaluator
        return asked.evaluate(patterns, windows)

    def settle(self, pick: Pick, found: Evaluation) -> HeuristicState:
        """Record the evaluation of the picked pattern, and return the final state."""
        if len(self._records) < len(self._earlier):
            found = replace(found, costs=np.zeros(1), work=Work())
        if not self._records and not self._earlier:  # the heuristic only scored units
            found = _charged(found, pick.cost, pick.work)
        self._picked = pick.pattern
        (loss,) = self._meter.enter([pick.pattern], found).losses.tolist()
        known = pick.losses or {pick.pattern: loss}
        return self._state(Genome(pick.pattern, loss=known[pick.pattern]))

    def _as_paid(self, patterns: Sequence[Pattern], found: Evaluation) -> Evaluation:
        """Return the evaluation at its original cost; the cache now answers it."""
        if len(self._records) >= len(self._earlier):
            return found
        paid = self._earlier[len(self._records)]
        known = np.arange(len(patterns)) < paid["hits"]  # their number is what is recorded
        return replace(_charged(found, paid["spent"], Work.of(paid)), known=known)

    def _record(self, patterns: Sequence[Pattern], found: Evaluation) -> None:
        """Append a row to the logbook, and call `told` with the state if the row is new."""
        number, meter = len(self._records), self._meter
        losses = dict(zip(patterns, map(finite_or_worst, found.losses.tolist()), strict=True))
        before = self._records[-1]["evaluations"] if self._records else 0
        new = islice(reversed(meter.asked), meter.evaluations - before)
        row = record_of(
            number,
            [Genome(pattern, loss=loss) for pattern, loss in losses.items()],
            Generation({p: losses[p] for p in new}, (), found.cost, found.hits, found.work),
            evaluations=meter.evaluations,
            cost=meter.cost,
        )
        self._records.append({**row, "spent": found.cost})
        if number >= len(self._earlier):
            ranked = meter.losses or losses
            best = self._picked or min(ranked, key=ranked.__getitem__)
            self._told(self._state(Genome(best, loss=ranked[best])))

    def _state(self, best: Genome) -> HeuristicState:
        return HeuristicState(
            best=best,
            records=tuple(self._records),
            evaluations=self._meter.evaluations,
            cost=self._meter.cost,
            cache_hits=self._meter.hits,
            seconds=time.monotonic() - self._began,
        )


def _charged(found: Evaluation, cost: float, work: Work) -> Evaluation:
    """Return the evaluation with additional cost and work."""
    costs = found.costs.copy()
    costs[0] += cost
    return replace(found, costs=costs, work=found.work + work)
