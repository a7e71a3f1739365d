"""What an evolution knows after a generation: plain data that goes in and comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deap import tools

from evop_deap.evolution.genome import Genome
from evop_deap.fitness.protocol import Work
from evop_deap.space import Pattern


@dataclass(frozen=True)
class EvolutionState:
    """Everything the evolution knows after a generation; plain data.

    Attributes:
        generation: generations done after the first one, which is 0.
        population: the survivors, best first.
        losses: every pattern evaluated on all windows so far and its loss, in that order.
        eliminated: patterns that a race has seen in part and not chosen; never proposed again.
        beside: how many other patterns were evaluated, to find those that the search began with.
        picks: what it began with, by the name of the heuristic that picked it.
        restarted: the generation in which all but the best was last drawn afresh.
        records: one row a generation, as in DEAP's logbook.
        cost: dense-forward equivalents spent.
        cache_hits: patterns whose loss was known without evaluating them.
        seconds: time spent, over all processes that worked on this search.
        best_since: the generation in which the best pattern was found.
        rng_state: state of the random generator that the toolbox's operators draw from.
        stopped: why the search ended, or None while it can go on.
    """

    generation: int
    population: tuple[Genome, ...]
    losses: Mapping[Pattern, float]
    records: tuple[Mapping[str, Any], ...]
    cost: float
    cache_hits: int
    seconds: float
    best_since: int
    rng_state: tuple[Any, ...] = field(repr=False)
    eliminated: tuple[Pattern, ...] = ()
    beside: int = 0
    picks: Mapping[str, Pattern] = field(default_factory=dict)
    restarted: int = 0
    stopped: str | None = None

    def stagnates(self, patience: int) -> bool:
        """Whether as many generations in a row brought nothing better; never, for a 0."""
        since = max(self.best_since, self.restarted)
        return 0 < patience <= self.generation - since

    @property
    def evaluations(self) -> int:
        """Patterns evaluated so far, in full or in part."""
        return len(self.losses) + len(self.eliminated) + self.beside

    @property
    def work(self) -> Work:
        """What was executed in all generations."""
        names = [field.name for field in dataclasses.fields(Work)]
        rows = (Work(**{name: record[name] for name in names}) for record in self.records)
        return sum(rows, Work())

    @property
    def best(self) -> Genome:
        """The best individual so far; elitism keeps it in the population."""
        return self.population[0]

    @property
    def logbook(self) -> tools.Logbook:
        """The records as DEAP's Logbook."""
        logbook = tools.Logbook()
        # A surrogate has nothing to say of the first generation.
        logbook.header = list(dict.fromkeys(name for row in self.records for name in row))
        for record in self.records:
            logbook.record(**record)
        return logbook

    def hall_of_fame(self, size: int = 10) -> tools.HallOfFame:
        """The best `size` patterns ever evaluated, as DEAP's HallOfFame."""
        hall = tools.HallOfFame(size)
        ranked = sorted(self.losses.items(), key=lambda item: item[1])[:size]
        # DEAP puts an equal that comes later first: from worst to best keeps the order.
        for pattern, loss in reversed(ranked):
            hall.insert(Genome(pattern, loss=loss))
        return hall
