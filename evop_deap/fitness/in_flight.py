"""Evaluations that go on while a search does other things.

An evaluation goes through the same wrappers, such as caches, as one that is waited for. It goes
through them twice: the first time it is begun and ends in a `PendingError`, before any wrapper
stores or charges anything. When it is done, it is asked for again and taken. So losses that a
wrapper knows are not evaluated, and a wrapper need not know of any of this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.space import Pattern

_Asked = tuple[tuple[Pattern, ...], tuple[int, ...] | None]


class PendingError(Exception):
    """Raised for an evaluation that was begun and is not done."""


class Tasks(Protocol):
    """Evaluations that are done elsewhere: by workers, or by others in a simulation."""

    @property
    def places(self) -> int:
        """Number of evaluations to begin, at least 1."""
        ...

    def begin(self, patterns: Sequence[Pattern], windows: Sequence[int] | None) -> int:
        """Begin an evaluation and return its number."""
        ...

    def ended(self) -> Sequence[tuple[int, Evaluation]]:
        """Wait until an evaluation is done; return all that are, in that order, by number."""
        ...

    def forget(self) -> None:
        """Drop all evaluations that were begun."""
        ...


class Background:
    """The evaluations of one evaluator that are not waited for.

    The evaluator returns `take(patterns, windows)` whenever `active`.

    Args:
        tasks: does the evaluations.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._begun: dict[int, _Asked] = {}
        self._found: dict[_Asked, Evaluation] = {}
        self.active = False

    @property
    def places(self) -> int:
        """Number of evaluations to begin."""
        return self._tasks.places

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Within the context, evaluations are begun or taken, and not waited for."""
        self.active = True
        try:
            yield
        finally:
            self.active = False

    def take(self, patterns: Sequence[Pattern], windows: Sequence[int] | None) -> Evaluation:
        """Return what was found.

        Raises:
            PendingError: it was not begun before; it is now.
        """
        asked = (tuple(patterns), None if windows is None else tuple(windows))
        if asked in self._found:
            return self._found.pop(asked)
        self._begun[self._tasks.begin(patterns, windows)] = asked
        raise PendingError

    def wait(self) -> list[Pattern]:
        """Wait until an evaluation is done; return the patterns of all that are, in that order."""
        ended: list[Pattern] = []
        for number, found in self._tasks.ended():
            asked = self._begun.pop(number)
            self._found[asked] = found
            ended += asked[0]
        return ended

    def forget(self) -> None:
        """Drop all evaluations that were begun and not taken."""
        self._tasks.forget()
        self._begun.clear()
        self._found.clear()


class InFlight:
    """The patterns of a search that are being evaluated, each by itself and on all windows.

    Args:
        evaluator: evaluates through all its wrappers, such as a `CachedEvaluator`.
        background: that of the innermost evaluator.
    """

    def __init__(self, evaluator: Evaluator, background: Background) -> None:
        self._evaluator, self._background = evaluator, background
        self._ended: deque[tuple[Pattern, Evaluation | None]] = deque()

    @property
    def places(self) -> int:
        """Number of patterns to have in flight."""
        return self._background.places

    @property
    def ready(self) -> bool:
        """Whether a pattern is finished, so that `finished` need not wait."""
        return bool(self._ended)

    def start(self, pattern: Pattern) -> None:
        """Begin the evaluation of a pattern; it is finished at once if its losses are known."""
        if (found := self._asked(pattern)) is not None:
            self._ended.append((pattern, found))

    def finished(self) -> tuple[Pattern, Evaluation]:
        """Return the next pattern that is finished and its evaluation; wait for one if need be."""
        while True:
            while self._ended:
                pattern, known = self._ended.popleft()
                # It is begun once more if other windows than before are unknown by now.
                if (found := known or self._asked(pattern)) is not None:
                    return pattern, found
            self._ended.extend((pattern, None) for pattern in self._background.wait())

    def close(self) -> None:
        """Drop the patterns that are not finished."""
        self._background.forget()
        self._ended.clear()

    def _asked(self, pattern: Pattern) -> Evaluation | None:
        with suppress(PendingError), self._background.beginning():
            return self._evaluator.evaluate([pattern])
        return None
