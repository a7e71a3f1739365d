"""The state of an evolution after a generation, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deap import tools

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.stopping import SURE_GENERATIONS, UNKNOWN, Prospect
from evop_deap.fitness.protocol import Work
from evop_deap.space import Pattern


@dataclass(frozen=True)
class EvolutionState:
    """The state of the evolution after a generation, as plain data.

    Attributes:
        generation: number of the generation; the first is 0.
        population: the survivors, best first.
        losses: the loss of every pattern evaluated on all windows, in the order of evaluation.
        eliminated: patterns that a race has eliminated; never proposed again.
        other_evaluations: number of other patterns that heuristics evaluated to find the seeds.
        picks: the seeds, by the name of the heuristic that picked them.
        restarted: the generation of the last restart.
        records: one row per generation, as in DEAP's logbook.
        cost: dense-forward equivalents spent.
        cache_hits: number of patterns whose loss was known without an evaluation.
        seconds: time spent, summed over all processes that worked on this search.
        best_since: the generation in which the best pattern was found.
        rng_state: state of the random generator that the toolbox's operators draw from.
        stopped: the reason for the end, or None while the search can continue.
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
    other_evaluations: int = 0
    picks: Mapping[str, Pattern] = field(default_factory=dict)
    restarted: int = 0
    stopped: str | None = None

    def stagnates(self, patience: int) -> bool:
        """Whether `patience` generations in a row found nothing better; always false for 0."""
        since = max(self.best_since, self.restarted)
        return 0 < patience <= self.generation - since

    @property
    def evaluations(self) -> int:
        """Patterns evaluated so far, in full or in part."""
        return len(self.losses) + len(self.eliminated) + self.other_evaluations

    @property
    def prospect(self) -> Prospect:
        """What was left to win in the less certain one of the last generations."""
        last = self.records[-SURE_GENERATIONS:]
        known = [row for row in last if row.get("trusted") and "chance" in row]
        if len(known) < SURE_GENERATIONS:
            return UNKNOWN
        told = [Prospect(row["chance"], row["tolerance"]) for row in known]
        return max(told, key=lambda prospect: prospect.chance)

    @property
    def work(self) -> Work:
        """The work executed in all generations."""
        return sum(map(Work.of, self.records), Work())

    @property
    def best(self) -> Genome:
        """The best individual so far; elitism keeps it in the population."""
        return self.population[0]

    @property
    def logbook(self) -> tools.Logbook:
        """The records as DEAP's Logbook."""
        logbook = tools.Logbook()
        # The first generation lacks the surrogate's columns.
        logbook.header = list(dict.fromkeys(name for row in self.records for name in row))
        for record in self.records:
            logbook.record(**record)
        return logbook

    def hall_of_fame(self, size: int = 10) -> tools.HallOfFame:
        """The best `size` patterns ever evaluated, as DEAP's HallOfFame."""
        hall = tools.HallOfFame(size)
        ranked = sorted(self.losses.items(), key=lambda item: item[1])[:size]
        # DEAP puts the later one of two equals first, so insert from worst to best.
        for pattern, loss in reversed(ranked):
            hall.insert(Genome(pattern, loss=loss))
        return hall
