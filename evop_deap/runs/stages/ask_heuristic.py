"""A heuristic in the place of the search: the same folder, checkpoints and handing over.

Each request of the rule to the evaluator counts as a generation. A resumed run repeats the rule
from its beginning; what the first process paid for is known by then, and is charged as it was.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evop_deap.evolution.callbacks import Callback
from evop_deap.settings.search_config import SearchConfig
from evop_deap.evolution.state import EvolutionState
from evop_deap.fitness.protocol import Evaluation, Evaluator, Work
from evop_deap.evolution.genome import Genome, finite_or_worst
from evop_deap.heuristics.registry import METHODS
from evop_deap.heuristics.task import ModelParts, Pick, Task
from evop_deap.evolution.generation import Generation
from evop_deap.evolution.logbook import record_of
from evop_deap.runs.storage.checkpoint import Checkpoint
from evop_deap.runs.search_evaluator import Judge
from evop_deap.runs.merged_model import judge_merged
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.stages.prepare import Subject
from evop_deap.space import Pattern, SearchSpace, dropped_units
from evop_deap.evolution.stopping import Stopping

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def pick_pattern(
    config: SearchConfig,
    subject: Subject,
    judge: Judge,
    stopping: Stopping,
    stored: Checkpoint | None,
    progress: Progress,
    record: Callback,
) -> tuple[EvolutionState, PreTrainedModel | None]:
    """Let the heuristic `config.method` pick, and judge its pattern on all windows.

    The model that comes back is what a rule that merges blocks has made of them.

    Args:
        config: the effective settings.
        subject: what a pattern is picked for.
        judge: the evaluator.
        stopping: limits of the rules that search.
        stored: what an interrupted run of the same has paid for.
        progress: told what is going on.
        record: called after each request, with the state then.
    """
    method = METHODS[config.method]
    progress.stage(f"choosing by {method.title}")
    progress.searching(0, stopping.evaluations if method.searches else None)
    ledger = Ledger(judge.evaluator, subject.space, stored.state if stored else None)

    def told(state: EvolutionState) -> None:
        record(state)
        progress.generation(state)

    ledger.told = told
    parts = ModelParts(subject.loaded.model, subject.anatomy, subject.text.calibration.tokens)
    pick = method(Task(subject.space, ledger, random.Random(config.seed), stopping, parts))
    merged = _merged(subject, pick)
    if merged is None:
        judged = judge.evaluator.evaluate([pick.pattern])
    else:
        judged = judge_merged(subject, merged, pick.pattern, config.fitness)
    state = ledger.settle(pick, judged)
    progress.close()
    limit = stopping.reason(
        0, evaluations=pick.evaluations, cost=pick.cost, seconds=state.seconds, stagnant=0
    )
    stopped = (method.searches and limit) or "when the rule had picked"
    return replace(state, stopped=stopped), merged


def _merged(subject: Subject, pick: Pick) -> PreTrainedModel | None:
    """The model in which blocks are merged, where the rule has merged any."""
    if not pick.merges:
        return None
    from evop_deap.models.surgery.merging import merged_model

    gone = dropped_units(pick.pattern)
    return merged_model(subject.loaded.model, subject.anatomy, gone, pick.merges)


class Ledger:
    """An evaluator that writes down each request as a generation of a search.

    Args:
        evaluator: judges; it knows what an earlier process has paid for.
        space: which patterns may be the best.
        earlier: the state in which that process ended.
    """

    def __init__(
        self, evaluator: Evaluator, space: SearchSpace, earlier: EvolutionState | None
    ) -> None:
        self._evaluator = evaluator
        self._space = space
        self._earlier: Sequence[Mapping[str, Any]] = earlier.records if earlier else ()
        self._began = time.monotonic() - (earlier.seconds if earlier else 0.0)
        self._asked: dict[Pattern, None] = {}
        self._losses: dict[Pattern, float] = {}
        self._records: list[Mapping[str, Any]] = []
        self._cost = 0.0
        self._hits = 0
        self.told: Callable[[EvolutionState], object] = lambda state: None

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Judge, charge what was paid for in an earlier process as well, and write down."""
        found = self._evaluator.evaluate(patterns, windows)
        return self._entered(patterns, found, whole=windows is None) if len(patterns) else found

    def settle(self, pick: Pick, found: Evaluation) -> EvolutionState:
        """The state once the rule has picked: its pattern judged, its look at the model paid."""
        if len(self._records) < len(self._earlier):
            found = replace(found, costs=np.zeros(1), work=Work())
        looked = not self._records  # a rule that asked for no loss has looked into the model
        if looked and not self._earlier:
            found = _charged(found, pick.cost, pick.work)
        (loss,) = self._entered([pick.pattern], found, best=pick.pattern).losses.tolist()
        return self._state(pick.losses or {pick.pattern: finite_or_worst(loss)}, pick.pattern)

    def _entered(
        self,
        patterns: Sequence[Pattern],
        found: Evaluation,
        *,
        whole: bool = True,
        best: Pattern | None = None,
    ) -> Evaluation:
        number = len(self._records)
        if number < len(self._earlier):
            # Now it is answered from memory; this is what it cost when it was first made.
            paid = self._earlier[number]
            work = Work(paid["block_tokens"], paid["head_tokens"], paid["bytes_held"])
            found = replace(_charged(found, paid["spent"], work), hits=paid["hits"])
        losses = dict(zip(patterns, map(finite_or_worst, found.losses.tolist()), strict=True))
        new = {pattern: loss for pattern, loss in losses.items() if pattern not in self._asked}
        self._asked.update(dict.fromkeys(patterns))
        if whole:
            self._losses.update((p, loss) for p, loss in losses.items() if p in self._space)
        self._cost += found.cost
        self._hits += found.hits
        row = record_of(
            number,
            [Genome(pattern, loss=loss) for pattern, loss in losses.items()],
            Generation(new, (), found.cost, found.hits, found.work),
            evaluations=len(self._asked),
            cost=self._cost,
        )
        self._records.append({**row, "spent": found.cost})
        if number >= len(self._earlier):
            ranked = self._losses or losses
            best = best or min(ranked, key=ranked.__getitem__)
            self.told(self._state({**self._losses, best: ranked[best]}, best))
        return found

    def _state(self, losses: Mapping[Pattern, float], best: Pattern) -> EvolutionState:
        return EvolutionState(
            generation=len(self._records) - 1,
            population=(Genome(best, loss=losses[best]),),
            losses=losses,
            records=tuple(self._records),
            cost=self._cost,
            cache_hits=self._hits,
            seconds=time.monotonic() - self._began,
            best_since=0,
            rng_state=(),
            beside=len(self._asked) - len(losses),
        )


def _charged(found: Evaluation, cost: float, work: Work) -> Evaluation:
    """The same losses for so much more."""
    costs = found.costs.copy()
    costs[0] += cost
    return replace(found, costs=costs, work=found.work + work)
