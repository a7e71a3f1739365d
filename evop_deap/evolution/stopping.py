"""When a search ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stopping:
    """Limits of a search; None is no limit, and the first one reached ends it.

    Attributes:
        generations: generations after the first population.
        evaluations: patterns evaluated, met exactly: the last generation is cut to fit.
        cost: dense-forward equivalents, ended after the generation that passes it.
        seconds: time spent searching, ended after the generation that passes it.
        patience: generations in a row that bring no better pattern.

    Example:
        >>> Stopping(generations=2).reason(2, evaluations=44, cost=9.0, seconds=1.0, stagnant=0)
        'after 2 generations'
    """

    generations: int | None = None
    evaluations: int | None = None
    cost: float | None = None
    seconds: float | None = None
    patience: int | None = None

    def reason(
        self, generation: int, *, evaluations: int, cost: float, seconds: float, stagnant: int
    ) -> str | None:
        """Why to end here, or None while no limit is reached."""
        if self.generations is not None and generation >= self.generations:
            return f"after {generation} generations"
        if self.evaluations is not None and evaluations >= self.evaluations:
            return f"after {evaluations} evaluations"
        if self.cost is not None and cost >= self.cost:
            return f"after a cost of {cost:.1f} dense forward passes"
        if self.seconds is not None and seconds >= self.seconds:
            return f"after {self.seconds:g} seconds"
        if self.patience is not None and stagnant >= self.patience:
            return f"after {stagnant} generations without a better pattern"
        return None

    def evaluations_left(self, done: int, wanted: int) -> int:
        """`wanted`, or what is left of the limit on evaluations after `done` of them."""
        return wanted if self.evaluations is None else max(0, min(wanted, self.evaluations - done))
