"""Selection of the survivors of a generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.state import EvolutionState
from evop_deap.space import Pattern


class Survival:
    """Survival of the lowest losses; ties go to those that came first. Subclasses override it."""

    def survivors(self, individuals: Sequence[Genome], count: int) -> tuple[Genome, ...]:
        """Return the best `count` of population and children, lowest loss first."""
        return tuple(sorted(individuals, key=lambda individual: individual.loss)[:count])

    def columns(
        self, losses: Mapping[Pattern, float], earlier: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Return further columns for a row of the logbook.

        Args:
            losses: all losses so far.
            earlier: the rows of the earlier generations.
        """
        return {}

    def improved(self, before: EvolutionState, after: EvolutionState) -> bool:
        """Whether `after`, one generation later than `before`, is better."""
        return after.best.loss < before.best.loss
