"""The evaluator of a model, spread over workers that each hold the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NoReturn, Protocol

import numpy as np

from evop_deap.base.errors import not_pickled
from evop_deap.distributed.splitting import Portion, split
from evop_deap.distributed.worker import Call
from evop_deap.fitness.in_flight import Background
from evop_deap.fitness.model.kept_states import KeptStates
from evop_deap.fitness.protocol import Evaluation, ModelEvaluator, Work
from evop_deap.space import Pattern


class Pool(Protocol):
    """Workers that do tasks: a `WorkerPool`, or others for a simulation."""

    @property
    def ready(self) -> int:
        """Number of workers that can take a task."""
        ...

    def take_unreported(self) -> float:
        """Return dense-forward equivalents executed by new workers before their first pattern."""
        ...

    def do(self, calls: Sequence[Call]) -> Iterator[tuple[int, Evaluation]]:
        """Yield the position and the outcome of each call as soon as it is done."""
        ...

    def begin(self, call: Call) -> int:
        """Add a call to those that workers do, and return its number."""
        ...

    def ended(self) -> Sequence[tuple[int, Evaluation]]:
        """Wait until a call is done; return the number and the outcome of all that are."""
        ...

    def forget(self) -> None:
        """Drop all calls."""
        ...


class SpreadEvaluator:
    """Evaluates patterns by the workers of a pool, with the bits of one process.

    A group of windows is computed together wherever it is computed, so a sum has the bits that
    `local` would give it. Costs are those that the workers executed; `alone` has those of one
    process.

    Args:
        local: the evaluator that this process would use. It says how windows are grouped and what
            calls cost, and evaluates nothing.
        pool: the workers, each with an evaluator like `local`.
        work: multiply-adds of each unit per token.
        head_work: multiply-adds of the head per token.
        whole: give each worker as few tasks as possible, for weights that stay in files.
        on_evaluated: called after each pattern.

    Attributes:
        background: evaluations that are not waited for. Each is one task, on all its windows.
    """

    def __init__(
        self,
        local: ModelEvaluator,
        pool: Pool,
        *,
        work: Sequence[int],
        head_work: int,
        whole: bool = False,
        on_evaluated: Callable[[], object] | None = None,
    ) -> None:
        self._pool = pool
        self._work, self._head_work, self._whole = work, head_work, whole
        self._on_evaluated = on_evaluated
        self._tokens = local.evaluate([]).tokens
        self.name, self.arithmetic = local.name, local.arithmetic
        self.preparation_cost, self.batches = local.preparation_cost, local.batches
        self.alone = local.alone
        # States are kept in the workers, which may be others after a resume.
        self.kept = KeptStates(capacity=0)
        self.background = Background(self)

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index.

        Raises:
            WorkersError: no worker is left, and none comes.
            PendingError: within `background.beginning()`, it is not done.
        """
        if self.background.active and patterns:
            return self.background.take(patterns, windows)
        asked = list(range(len(self._tokens)) if windows is None else windows)
        groups = self._grouped(asked)
        tasks = split(
            patterns,
            [len(group) for group in groups],
            work=self._work,
            head_work=self._head_work,
            workers=max(1, self._pool.ready),
            whole=self._whole,
        )
        columns = [[column for group in task.groups for column in groups[group]] for task in tasks]
        found = self._done(patterns, tasks, [[asked[at] for at in some] for some in columns])
        sums, costs = np.empty((len(patterns), len(asked))), np.zeros(len(patterns))
        work = Work(executed=self._pool.take_unreported())
        # In the order of the tasks: that of their ends depends on time.
        for task, some, one in zip(tasks, columns, found, strict=True):
            rows = list(task.rows)
            sums[np.ix_(rows, some)] = one.sums
            costs[rows] += one.costs
            work += one.work
        return Evaluation(sums, self._tokens[asked], costs, work)

    @property
    def places(self) -> int:
        """Number of evaluations to begin: one for each worker.

        A worker then waits while its next pattern is chosen. One more would wait for it instead,
        but would have been chosen with less known, which costs more evaluations than it saves.
        """
        return max(1, self._pool.ready)

    def begin(self, patterns: Sequence[Pattern], windows: Sequence[int] | None) -> int:
        """Begin an evaluation by one worker, and return its number."""
        return self._pool.begin(Call(list(patterns), None if windows is None else list(windows)))

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Wait until an evaluation is done; return all that are, by number.

        Raises:
            WorkersError: no worker is left, and none comes.
        """
        ended = []
        for number, found in self._pool.ended():
            work = found.work + Work(executed=self._pool.take_unreported())
            ended.append((number, replace(found, work=work)))
            self._count(len(found.sums))
        return ended

    def forget(self) -> None:
        """Drop the evaluations that were begun."""
        self._pool.forget()

    def __getstate__(self) -> NoReturn:
        raise not_pickled(self, "workers")

    def _grouped(self, asked: Sequence[int]) -> list[list[int]]:
        """The columns of each group of windows; one group where windows have no fixed batches."""
        if self.batches is None or len(self.batches) != len(self._tokens):
            return [list(range(len(asked)))] if asked else []
        groups: dict[int, list[int]] = {}
        for column, window in enumerate(asked):
            groups.setdefault(window // self.batches[0], []).append(column)
        return list(groups.values())

    def _done(
        self, patterns: Sequence[Pattern], tasks: Sequence[Portion], windows: Sequence[list[int]]
    ) -> list[Evaluation]:
        """Return what workers found for each task, and count patterns as they are complete."""
        everything = list(range(len(self._tokens)))
        calls = [
            Call(
                [patterns[row] for row in task.rows],
                None if some == everything else some,
                frozenset(some),
            )
            for task, some in zip(tasks, windows, strict=True)
        ]
        missing = np.zeros(len(patterns), dtype=int)
        for task in tasks:
            missing[list(task.rows)] += 1
        found: dict[int, Evaluation] = {}
        for at, one in self._pool.do(calls):
            found[at] = one
            for row in tasks[at].rows:
                missing[row] -= 1
                self._count(int(not missing[row]))
        return [found[at] for at in range(len(tasks))]

    def _count(self, patterns: int) -> None:
        """Count patterns that are complete."""
        if self._on_evaluated is not None:
            for _ in range(patterns):
                self._on_evaluated()
