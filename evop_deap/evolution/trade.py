"""The trade-off of loss against size, and its Pareto front."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from deap import base, tools

from evop_deap.base.errors import InputError
from evop_deap.base.numbers import finite_or_worst
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.operators import init_uniform
from evop_deap.evolution.state import EvolutionState
from evop_deap.space import Pattern, SearchSpace


class FitnessBoth(base.Fitness):  # type: ignore[misc]
    """Loss in nats per token and size, both to be minimised."""

    weights = (-1.0, -1.0)


class Member(Genome):
    """A genome with its loss and its size.

    Example:
        >>> small, large = Member([1, 0], loss=2.5, size=10), Member([1, 1], loss=2.5, size=20)
        >>> small.fitness.values, small.fitness.dominates(large.fitness)
        ((2.5, 10.0), True)
    """

    def __init__(self, genes: Iterable[int], *, loss: float, size: float) -> None:
        super().__init__(genes)
        self.fitness.values = (finite_or_worst(loss), float(size))

    @cached_property
    def fitness(self) -> FitnessBoth:
        """DEAP's fitness with two values."""
        return FitnessBoth()


@dataclass(frozen=True)
class Trade:
    """The trade-off of loss against size over patterns with any number of drops.

    Attributes:
        space: the space of the largest budget; patterns drop between 1 and its `n_drop` units.
        sizes: (units,) size of each unit: parameters, or milliseconds.
        fixed: size of the rest of the model.

    Raises:
        InputError: the budget of the space is not a plain count of units.
    """

    space: SearchSpace
    sizes: tuple[float, ...]
    fixed: float = 0.0

    def __post_init__(self) -> None:
        if not self.space.is_count:
            raise InputError("`space` must have a plain count of units as its budget")

    def size(self, pattern: Sequence[int]) -> float:
        """The size of the model with this pattern."""
        kept = (size for size, keep in zip(self.sizes, pattern, strict=True) if keep)
        return self.fixed + sum(kept)

    def drawn(self, count: int, rng: random.Random) -> Genome:
        """Draw a pattern that drops `count` units, uniformly."""
        return init_uniform(replace(self.space, n_drop=count), rng=rng)

    def members(self, individuals: Iterable[Genome]) -> list[Member]:
        """Return evaluated individuals as members, with their sizes."""
        return [Member(i, loss=i.loss, size=self.size(i)) for i in individuals]

    def points(self, losses: Mapping[Pattern, float]) -> list[tuple[float, float]]:
        """The (loss, size) of each pattern with a finite loss."""
        return [(loss, self.size(p)) for p, loss in losses.items() if math.isfinite(loss)]


def front_of(state: EvolutionState, trade: Trade) -> tools.ParetoFront:
    """The non-dominated patterns of all that were evaluated, as DEAP's ParetoFront."""
    front = tools.ParetoFront()
    known = (Genome(p, loss=loss) for p, loss in state.losses.items() if math.isfinite(loss))
    front.update(trade.members(known))
    return front


def best_within(state: EvolutionState, n_drop: int) -> Pattern | None:
    """The pattern of lowest loss that drops at least `n_drop` units; None if there is none."""
    fitting = [pattern for pattern in state.losses if pattern.count(0) >= n_drop]
    return min(fitting, key=state.losses.__getitem__, default=None)
