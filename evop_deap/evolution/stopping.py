"""The limits of a search."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stopping:
    """Limits of a search; None is no limit, and the first one reached ends the search.

    Attributes:
        generations: generations after the first population.
        evaluations: patterns evaluated; met exactly, as the last generation is made smaller.
        cost: dense-forward equivalents; the search ends after the generation that reaches it.
        seconds: time spent searching; the search ends after the generation that reaches it.
        patience: generations in a row without a better pattern.

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
        """Return the reason to end here, or None while no limit is reached."""
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
        """Return `wanted`, reduced to the evaluations left after `done` of them."""
        return wanted if self.evaluations is None else max(0, min(wanted, self.evaluations - done))
