"""What a heuristic has asked of the evaluator so far: the state of a run without an evolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evop_deap.evolution.genome import Genome


@dataclass(frozen=True, eq=False)
class HeuristicState:
    """What a heuristic has asked of the evaluator so far.

    Attributes:
        best: the best pattern of the space, or the one that the heuristic picked.
        records: one row a request, as in DEAP's logbook; "spent" is its cost.
        evaluations: different patterns asked for.
        cost: dense-forward equivalents spent.
        cache_hits: patterns whose loss was known.
        seconds: time spent, over all processes.
    """

    best: Genome
    records: tuple[Mapping[str, Any], ...]
    evaluations: int
    cost: float
    cache_hits: int
    seconds: float

    @property
    def generation(self) -> int:
        """Requests after the first one."""
        return len(self.records) - 1

    @property
    def population(self) -> tuple[Genome, ...]:
        """The best pattern alone: nothing survives a request."""
        return (self.best,)
