"""The tasks of a pool of workers: which of them wait, which are given out, and what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from evop_deap.distributed.worker import Call, WorkersError
from evop_deap.fitness.protocol import Evaluation

DEATHS = 5
"""Workers that may die at one task, or on one node without a task that was done."""


class TaskLedger:
    """Gives each task a number, and takes one result for each, whatever happens to workers.

    Example:
        >>> ledger = TaskLedger()
        >>> first, second = ledger.add(Call([(1, 0)], None)), ledger.add(Call([(0, 1)], None))
        >>> ledger.give(seen=()), ledger.give(seen=()), ledger.give(seen=())
        (0, 1, None)
        >>> ledger.lose(0); ledger.give(seen=())
        0
    """

    def __init__(self) -> None:
        self._calls: dict[int, Call] = {}
        self._waiting: list[int] = []
        self._lost: Counter[int] = Counter()
        self._found: dict[int, Evaluation] = {}
        self._next = 0

    def __getitem__(self, task: int) -> Call:
        return self._calls[task]

    @property
    def found(self) -> tuple[int, ...]:
        """Tasks that are done and not taken, in the order in which they were done."""
        return tuple(self._found)

    def add(self, call: Call) -> int:
        """Add a task and return its number."""
        task, self._next = self._next, self._next + 1
        self._calls[task] = call
        self._waiting.append(task)
        return task

    def give(self, seen: Collection[int]) -> int | None:
        """Return the task for a worker that may have hidden states of `seen`; None if none waits.

        It is the first one, or the first of which the worker may have all hidden states.
        """
        if not self._waiting:
            return None
        known = (task for task in self._waiting if self._calls[task].kept <= set(seen))
        task = next(known, self._waiting[0])
        self._waiting.remove(task)
        return task

    def finish(self, task: int, found: Evaluation) -> None:
        """Keep what was found for a task that was given, unless it was dropped since."""
        if self._calls.pop(task, None) is not None:
            self._found[task] = found

    def lose(self, task: int) -> None:
        """Let a task that was lost with its worker wait again, unless it was dropped since.

        Raises:
            WorkersError: too many workers died at it.
        """
        if task not in self._calls:
            return
        self._lost[task] += 1
        if self._lost[task] == DEATHS:
            raise WorkersError(
                f"`workers`: {DEATHS} workers died at the same patterns; they may need "
                "more memory than a node has: --resume goes on with fewer workers"
            )
        self._waiting = sorted([*self._waiting, task])

    def take(self, task: int) -> Evaluation:
        """Return what was found for a task; once."""
        return self._found.pop(task)

    def drop(self) -> None:
        """Drop all tasks; what workers still find for them is not kept."""
        self._calls.clear()
        self._waiting.clear()
        self._found.clear()
