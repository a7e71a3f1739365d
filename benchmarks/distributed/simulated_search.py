"""Searches of a landscape with workers that take simulated time."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.search.quality import EXACTLY, FoundError, opened
from evop_deap.distributed.splitting import split
from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.in_flight import Background, InFlight
from evop_deap.fitness.landscape import Landscape
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.space import Pattern


@dataclass(frozen=True)
class Durations:
    """What takes how long.

    Attributes:
        dense: seconds of a pass of the dense model over the calibration set, on one worker.
        task: seconds to give a task to a worker and to take what it found.
        spread: factors on the predicted time of a task, one of which is drawn for each.
    """

    dense: float
    task: float
    spread: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Request:
    """One call of the evaluator: the seconds of the driver before it, and what it asks for."""

    driver: float
    patterns: tuple[Pattern, ...]
    windows: int


@dataclass
class Recorded:
    """Evaluates patterns by another evaluator, and records what was asked for."""

    evaluator: Evaluator
    requests: list[Request] = field(default_factory=list)
    left: float = field(default_factory=time.process_time)

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index."""
        spent = time.process_time() - self.left
        found = self.evaluator.evaluate(patterns, windows)
        if patterns:
            self.requests.append(Request(spent, tuple(patterns), found.sums.shape[1]))
            self.left = time.process_time()
        return found


class UntilKnown(CachedEvaluator):
    """Ends a search once it has evaluated a pattern with this loss, on all windows."""

    def __init__(self, evaluator: Evaluator, best: float) -> None:
        super().__init__(evaluator)
        self._best = best + EXACTLY

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate; raise `FoundError` if the optimum is known then."""
        found = super().evaluate(patterns, windows)
        whole = found.sums.shape[1] == len(self.tokens)
        if whole and found.losses.min(initial=np.inf) <= self._best:
            raise FoundError
        return found


def requests_until_found(path: Path, batch: int, seed: int, most: int) -> tuple[list[Request], int]:
    """Return what a search with batches of this size asks for until it evaluates the optimum.

    Also return the number of different patterns that it evaluated. A search that does not find it
    ends after `most`.
    """
    landscape, problem = opened(path)
    recorded = Recorded(problem.fitness)
    evaluator = UntilKnown(recorded, problem.best)
    if problem.space.dense in landscape.rows:
        CachedEvaluator.evaluate(evaluator, [problem.space.dense])
        recorded.requests.clear()
    settings = EvolutionSettings(offspring=batch)
    search = assemble(problem.space, evaluator, random.Random(seed), settings)
    with suppress(FoundError):
        search.run(Stopping(generations=None, evaluations=most))
    return recorded.requests, sum(pattern in problem.space for pattern in evaluator.rows)


def seconds_of_requests(
    path: Path, requests: Sequence[Request], workers: int, durations: Durations, groups: int
) -> tuple[float, float]:
    """Return the seconds that the requests take with so many workers, and those they work.

    Args:
        path: the landscape.
        requests: what a search asks for.
        workers: number of workers.
        durations: what takes how long.
        groups: number of groups of windows in the calibration set.
    """
    landscape, rng = opened(path)[0], random.Random(0)
    work = [unit.work for unit in landscape.units]
    dense = sum(work) + landscape.head_work
    clock = busy = 0.0
    for request in requests:
        clock += request.driver
        share = max(1, round(groups * request.windows / len(landscape.tokens)))
        tasks = split(
            request.patterns,
            [1] * share,
            work=work,
            head_work=landscape.head_work,
            workers=workers,
        )
        ends = [0.0] * workers
        for task in tasks:
            took = task.work / dense / groups * durations.dense * rng.choice(durations.spread)
            busy += took
            heapq.heapreplace(ends, ends[0] + took + durations.task)
        clock += max(ends)
    return clock, busy


class SimulatedWorkers:
    """Evaluates patterns of a landscape by workers that take simulated time, one pattern each.

    Args:
        landscape: has the losses.
        workers: number of workers.
        durations: what takes how long. The seconds of the driver are those of this process.

    Attributes:
        clock: simulated seconds since the beginning.
        places: number of patterns to begin: one for each worker, as in a search.
        begun: number of patterns that were asked for.
        background: the evaluations.
    """

    def __init__(self, landscape: Landscape, workers: int, durations: Durations) -> None:
        self._table, self._durations = TabularEvaluator(landscape), durations
        self._work = np.array([unit.work for unit in landscape.units])
        self._head_work, self._rng = landscape.head_work, random.Random(0)
        self.places = self._idle = workers
        self._waiting: list[tuple[int, Pattern]] = []
        self._running: list[tuple[float, int, Pattern]] = []
        self._left = time.process_time()
        self.clock = self._promised = 0.0
        self.begun = 0
        self.background = Background(self)

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index."""
        if self.background.active and patterns:
            return self.background.take(patterns, windows)
        return self._table.evaluate(patterns, windows)

    @property
    def busy(self) -> float:
        """Seconds that workers worked so far."""
        return self._promised - sum(end - self.clock for end, _, _ in self._running)

    def begin(self, patterns: Sequence[Pattern], windows: Sequence[int] | None) -> int:
        """Let a pattern wait for a worker."""
        (pattern,) = patterns
        self.begun += 1
        self._waiting.append((self.begun, pattern))
        return self.begun

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Let time pass until a worker is done; those done before had to wait for the driver."""
        self.clock += time.process_time() - self._left
        self._give()
        self.clock = max(self.clock, self._running[0][0])
        ended = []
        while self._running and self._running[0][0] <= self.clock:
            _, number, pattern = heapq.heappop(self._running)
            ended.append((number, self._table.evaluate([pattern])))
        self._idle += len(ended)
        self._give()
        self._left = time.process_time()
        return ended

    def forget(self) -> None:
        """Drop all patterns."""
        self._waiting.clear()

    def _give(self) -> None:
        while self._idle and self._waiting:
            number, pattern = self._waiting.pop(0)
            share = (self._work @ np.array(pattern) + self._head_work) / (
                self._work.sum() + self._head_work
            )
            took = float(share) * self._durations.dense * self._rng.choice(self._durations.spread)
            self._idle -= 1
            self._promised += took
            heapq.heappush(
                self._running, (self.clock + self._durations.task + took, number, pattern)
            )


def asynchronous(
    path: Path, workers: int, seed: int, most: int, durations: Durations
) -> tuple[float, float, int]:
    """Search with workers that each evaluate one pattern, and get the next one at once.

    Returns:
        Seconds until the optimum is known, seconds that workers worked, and patterns asked for.
    """
    landscape, problem = opened(path)
    simulated = SimulatedWorkers(landscape, workers, durations)
    evaluator = UntilKnown(simulated, problem.best)
    if problem.space.dense in landscape.rows:
        CachedEvaluator.evaluate(evaluator, [problem.space.dense])
    flight = InFlight(evaluator, simulated.background)
    rng, settings = random.Random(seed), EvolutionSettings()
    search = assemble(problem.space, evaluator, rng, settings, flight=flight)
    with suppress(FoundError):
        search.run(Stopping(generations=None, evaluations=most))
    return simulated.clock, simulated.busy, simulated.begun
