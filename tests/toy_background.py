"""Evaluations in this process that end in an order that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evop_deap.fitness.in_flight import Background
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.space import Pattern

Pick = Callable[[int], int]
"""(count): which of so many evaluations ends next."""


class Ordered:
    """An evaluator that begins evaluations and ends them as `pick` says.

    Args:
        evaluator: evaluates.
        pick: says which evaluation ends next.
        places: number of evaluations to begin.

    Attributes:
        asked: the patterns that were evaluated, each time.
        running: the evaluations that are under way.
        most: the most that were.
    """

    def __init__(self, evaluator: Evaluator, pick: Pick, places: int = 3) -> None:
        self._evaluator, self._pick, self.places = evaluator, pick, places
        self.running: dict[int, tuple[Sequence[Pattern], Sequence[int] | None]] = {}
        self.background = Background(self)
        self.asked: list[Pattern] = []
        self.most = self._count = 0

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        if self.background.active and patterns:
            return self.background.take(patterns, windows)
        self.asked += patterns
        return self._evaluator.evaluate(patterns, windows)

    def begin(self, patterns: Sequence[Pattern], windows: Sequence[int] | None) -> int:
        self._count += 1
        self.running[self._count] = (patterns, windows)
        self.most = max(self.most, len(self.running))
        return self._count

    def ended(self) -> list[tuple[int, Evaluation]]:
        ended = [self._end()]
        while self.running and self._pick(2):
            ended.append(self._end())
        return ended

    def forget(self) -> None:
        self.running.clear()

    def _end(self) -> tuple[int, Evaluation]:
        number = sorted(self.running)[self._pick(len(self.running))]
        patterns, windows = self.running.pop(number)
        self.asked += patterns
        return number, self._evaluator.evaluate(patterns, windows)
