"""The state of a heuristic's run: its requests to the evaluator so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evop_deap.evolution.genome import Genome


@dataclass(frozen=True, eq=False)
class HeuristicState:
    """The requests of a heuristic to the evaluator so far.

    Attributes:
        best: the best pattern so far, or the one that the heuristic picked.
        records: one row for each request, as in DEAP's logbook; "spent" is its cost.
        evaluations: distinct patterns requested.
        cost: dense-forward equivalents spent.
        cache_hits: patterns with a cached loss.
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
        """Number of requests after the first."""
        return len(self.records) - 1

    @property
    def population(self) -> tuple[Genome, ...]:
        """The best pattern alone, because a heuristic has no population."""
        return (self.best,)
