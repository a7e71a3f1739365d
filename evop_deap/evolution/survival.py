"""Who survives a generation, and whether it has brought anything better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.state import EvolutionState
from evop_deap.space import Pattern


class Survival:
    """The lowest losses survive; of equals those that came first. Others override it."""

    def survivors(self, individuals: Sequence[Genome], count: int) -> tuple[Genome, ...]:
        """The best `count` of population and children, lowest loss first."""
        return tuple(sorted(individuals, key=lambda individual: individual.loss)[:count])

    def columns(
        self, losses: Mapping[Pattern, float], earlier: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """What this survival adds to a row of the logbook.

        Args:
            losses: of everything evaluated so far.
            earlier: the rows of the generations before.
        """
        return {}

    def improved(self, before: EvolutionState, after: EvolutionState) -> bool:
        """Whether the last generation of `after` has brought anything better."""
        return after.best.loss < before.best.loss
