"""The individual that DEAP evolves: a list of 0/1 with a fitness to be minimised.

Plain classes work with DEAP as well as those of `deap.creator`, and they can be imported, typed,
copied and pickled. The operators here also accept individuals made with `creator`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from deap import base

from evop_deap.base.numbers import finite_or_worst
from evop_deap.space import Pattern


class FitnessMin(base.Fitness):  # type: ignore[misc]
    """A single loss in nats per token, to be minimised."""

    weights = (-1.0,)


class Genome(list[int]):
    """One 0/1 per unit, 1 = keep, with the fitness that DEAP's tools read.

    Example:
        >>> genome = Genome([1, 0, 1])
        >>> genome.fitness.values = (3.5,)
        >>> genome.fitness.valid, genome.pattern
        (True, (1, 0, 1))
    """

    def __init__(self, genes: Iterable[int] = (), *, loss: float | None = None) -> None:
        super().__init__(genes)
        if loss is not None:
            self.fitness.values = (finite_or_worst(loss),)

    @cached_property
    def fitness(self) -> FitnessMin:
        """DEAP's fitness; created on first use, since most children are never evaluated."""
        return FitnessMin()

    @property
    def pattern(self) -> Pattern:
        """The genes as a hashable key."""
        return tuple(self)

    @property
    def loss(self) -> float:
        """The loss in nats per token; defined only after an evaluation."""
        return float(self.fitness.values[0])
