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
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.proposals import propose
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import Breed
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.space import Pattern
from evop_deap.surrogate.first_population import init_balanced
from evop_deap.surrogate.preference import Surrogate, prefer


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


def asynchronous(
    path: Path, workers: int, seed: int, most: int, durations: Durations
) -> tuple[float, float, int]:
    """Search with workers that each evaluate one pattern, and get the next one at once.

    Pending patterns count as known, with the losses that the surrogate expects.

    Returns:
        Seconds until the optimum is known, seconds that workers worked, and patterns evaluated.
    """
    landscape, problem = opened(path)
    space, rng, table = problem.space, random.Random(seed), problem.fitness
    settings = EvolutionSettings()
    known = CachedEvaluator(table)
    if space.dense in landscape.rows:
        known.evaluate([space.dense])
    toolbox = make_toolbox(space, known, rng)
    work = np.array([unit.work for unit in landscape.units])
    dense = float(work.sum() + landscape.head_work)
    pending: dict[Pattern, np.ndarray] = {}
    running: list[tuple[float, Pattern]] = []
    clock = busy = 0.0
    losses: dict[Pattern, float] = {}
    beginners = [*init_balanced(space, settings.population, rng=rng)]

    def draw() -> tuple[Pattern, np.ndarray]:
        """The next pattern, and its expected sums."""
        if beginners:
            pattern = Genome(beginners.pop()).pattern
            if pattern not in losses and pattern not in pending:
                return pattern, known.tokens * problem.typical
        ranked = sorted(losses, key=losses.__getitem__)[: settings.population]
        population = [Genome(pattern, loss=losses[pattern]) for pattern in ranked]
        population = population or [Genome(pattern) for pattern in pending]
        view = CachedEvaluator(table)
        view.restore({**known.rows, **pending})
        seen = {*losses, *pending}
        breed = Breed(seen, lambda p, k, c: propose(p, k, c, toolbox, rng, settings))
        children = breed.children(population, settings.proposals)
        chosen = prefer(children, 1, breed, surrogate=Surrogate(), evaluator=view, space=space)
        expected = problem.typical if chosen.foresight is None else chosen.foresight.expected[0]
        return chosen.chosen[0].pattern, known.tokens * float(expected)

    driver = 0.0  # the time until which the driver is busy
    while len(losses) + len(pending) < most or running:
        while len(running) < workers and len(losses) + len(pending) < most:
            began = time.process_time()
            pattern, expected = draw()
            driver = max(driver, clock) + time.process_time() - began
            took = (work @ np.array(pattern) + landscape.head_work) / dense * durations.dense
            took *= rng.choice(durations.spread)
            busy += took
            heapq.heappush(running, (driver + durations.task + took, pattern))
            pending[pattern] = expected
            if running[0][0] <= driver:
                break
        clock, pattern = heapq.heappop(running)
        del pending[pattern]
        losses[pattern] = float(known.evaluate([pattern]).losses[0])
        if losses[pattern] <= problem.best + EXACTLY:
            break
    return clock, busy, len(losses) + len(pending)
