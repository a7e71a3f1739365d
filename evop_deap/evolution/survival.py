"""Who survives a generation, and whether it has brought anything better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.state import EvolutionState
from evop_deap.space import Pattern


class Survival(Protocol):
    """What `evolve` asks once a generation is evaluated."""

    def survivors(self, individuals: Sequence[Genome], count: int) -> tuple[Genome, ...]:
        """Those of population and children that go on, lowest loss first."""
        ...

    def columns(
        self, losses: Mapping[Pattern, float], earlier: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """What this survival adds to a row of the logbook.

        Args:
            losses: of everything evaluated so far.
            earlier: the rows of the generations before.
        """
        ...

    def improved(self, before: EvolutionState, after: EvolutionState) -> bool:
        """Whether the last generation of `after` has brought anything better."""
        ...


class Elitism:
    """The lowest losses survive; of equals those that came first."""

    def survivors(self, individuals: Sequence[Genome], count: int) -> tuple[Genome, ...]:
        """The best `count`, best first."""
        return tuple(sorted(individuals, key=lambda individual: individual.loss)[:count])

    def columns(
        self, losses: Mapping[Pattern, float], earlier: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Nothing: the logbook tells the survivors' losses anyway."""
        return {}

    def improved(self, before: EvolutionState, after: EvolutionState) -> bool:
        """Whether the lowest loss is lower."""
        return after.best.loss < before.best.loss
