"""The limits of a search."""

from __future__ import annotations

from dataclasses import dataclass

from evop_deap.base.formatting import counted

SURE_GENERATIONS = 2
"""Generations in a row in which a surrogate must be sure before the search ends."""

EXHAUSTED = "after every pattern within reach was evaluated"
"""Why a search ends that finds no new pattern."""


@dataclass(frozen=True)
class Prospect:
    """What is left to win, by a surrogate.

    Attributes:
        chance: probability that a pattern within reach is better than the best by more than
            `tolerance`.
        tolerance: difference that the losses cannot tell apart, in nats a token.

    Example:
        >>> str(Prospect(chance=0.04, tolerance=0.02))
        '96% sure that no pattern within reach is more than 0.020 nats better'
    """

    chance: float
    tolerance: float

    def __str__(self) -> str:
        sure = min(0.99, 1 - self.chance)
        return (
            f"{sure:.0%} sure that no pattern within reach is more than "
            f"{self.tolerance:.3f} nats better"
        )


UNKNOWN = Prospect(chance=1.0, tolerance=0.0)
"""Without a surrogate that can be trusted, anything may be within reach."""


@dataclass(frozen=True)
class Stopping:
    """Limits of a search; None is no limit, and the first one reached ends the search.

    Attributes:
        generations: generations after the first population.
        evaluations: patterns evaluated; met exactly, as the last generation is made smaller.
        cost: dense-forward equivalents; the search ends after the generation that reaches it.
        seconds: time spent searching; the search ends after the generation that reaches it.
        patience: generations in a row without a better pattern.
        sure: confidence that no pattern within reach is better by more than the losses can tell
            apart; the search ends when a surrogate has it in two generations in a row.

    Example:
        >>> Stopping(generations=2).reason(2, evaluations=44, cost=9.0, seconds=1.0, stagnant=0)
        'after 2 generations'
    """

    generations: int | None = None
    evaluations: int | None = None
    cost: float | None = None
    seconds: float | None = None
    patience: int | None = None
    sure: float | None = None

    def reason(
        self,
        generation: int,
        *,
        evaluations: int,
        cost: float,
        seconds: float,
        stagnant: int,
        prospect: Prospect = UNKNOWN,
    ) -> str | None:
        """Return the reason to end here, or None while no limit is reached."""
        if self.generations is not None and generation >= self.generations:
            return f"after {counted(generation, 'generation')}"
        if self.evaluations is not None and evaluations >= self.evaluations:
            return f"after {counted(evaluations, 'evaluation')}"
        if self.cost is not None and cost >= self.cost:
            return f"after a cost of {cost:.1f} dense forward passes"
        if self.seconds is not None and seconds >= self.seconds:
            return f"after {self.seconds:g} seconds"
        if self.patience is not None and stagnant >= self.patience:
            return f"after {counted(stagnant, 'generation')} without a better pattern"
        if self.sure is not None and prospect.chance <= 1 - self.sure:
            return f"when {prospect}"
        return None

    def evaluations_left(self, done: int, wanted: int) -> int:
        """Return `wanted`, reduced to the evaluations left after `done` of them."""
        return wanted if self.evaluations is None else max(0, min(wanted, self.evaluations - done))
