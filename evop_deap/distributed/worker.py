"""What a worker is made from, and what runs in its process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evop_deap.base.errors import EvopError
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.space import Pattern


class WorkersError(EvopError, RuntimeError):
    """Workers that cannot do their work: none is left, or one differs from the others."""


@dataclass(frozen=True, eq=False)
class Made:
    """What a worker works with.

    Attributes:
        evaluator: evaluates patterns.
        facts: what must be equal in all processes for losses of the same bits, by name.
        prepared: dense-forward equivalents that were executed before the first pattern.
    """

    evaluator: Evaluator
    facts: Mapping[str, str]
    prepared: float = 0.0


Setup = Callable[[], Made]
"""Makes a worker's evaluator in its process; pickled on its way there."""


@dataclass(frozen=True)
class Opened:
    """What a worker says when it is ready; see `Made`."""

    facts: Mapping[str, str]
    prepared: float


@dataclass(frozen=True, eq=False)
class Call:
    """A task as a worker gets it.

    Attributes:
        patterns: the patterns to evaluate.
        windows: indices of windows, or None for all.
        kept: names of what hidden states are of: a worker may have those of what it saw.
    """

    patterns: Sequence[Pattern]
    windows: Sequence[int] | None
    kept: frozenset[int] = frozenset()


class Worker:
    """Evaluates patterns in a process of its own, as a Ray actor."""

    def __init__(self) -> None:
        self._evaluator: Evaluator | None = None

    def process(self) -> int:
        """Return the number of this process."""
        return os.getpid()

    def open(self, setup: Setup) -> Opened:
        """Make the evaluator."""
        made = setup()
        self._evaluator = made.evaluator
        return Opened(made.facts, made.prepared)

    def evaluate(self, call: Call) -> Evaluation:
        """Do a task."""
        assert self._evaluator is not None
        return self._evaluator.evaluate(call.patterns, call.windows)


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Return the facts that differ, in words; empty if none does.

    Example:
        >>> differences({"torch": "2.6"}, {"torch": "2.7"})
        'torch is 2.6 there and 2.7 here'
    """
    return ", ".join(
        f"{name} is {there.get(name)} there and {known} here"
        for name, known in here.items()
        if there.get(name) != known
    )
