"""What an evolution is set to and what it knows: plain data that goes in and comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from deap import tools
from numpy.typing import NDArray

from evop_deap.evolution.genome import Genome
from evop_deap.fitness.protocol import Work
from evop_deap.space import Pattern


@dataclass(frozen=True)
class EvolutionSettings:
    """Sizes and rates of the evolution.

    Attributes:
        population: μ, individuals that survive a generation.
        offspring: λ, new patterns evaluated a generation.
        crossover: probability that a child has two parents.
        mutation: probability that such a child is mutated too; one with a single parent
            always is.
        attempts: tries at a child not evaluated before, until one is drawn afresh instead.
        proposals: children proposed for each that is evaluated, where the toolbox has a
            `prefer` that chooses among them.
        restart: generations in a row without a better pattern after which all individuals but
            the best give way to fresh ones; 0 is never.
    """

    population: int = 4
    offspring: int = 4
    crossover: float = 0.5
    mutation: float = 0.65
    attempts: int = 20
    proposals: int = 11
    restart: int = 0


@dataclass(frozen=True, eq=False)
class Choice:
    """Which proposals are worth a full evaluation, and what finding that out cost.

    Attributes:
        chosen: in the order of the proposals.
        costs: (proposals,) dense-forward equivalents spent on each.
        work: the same work by what it was.
    """

    chosen: tuple[Genome, ...]
    costs: NDArray[np.float64]
    work: Work = field(default_factory=Work)


@dataclass(frozen=True)
class Breed:
    """How a `prefer` comes to further proposals.

    Attributes:
        seen: patterns that need no evaluation any more.
        children: (parents, count, beside): so many children, none of them seen or among `beside`.
    """

    seen: Collection[Pattern]
    children: Callable[[Sequence[Genome], int, Collection[Pattern]], list[Genome]]


@dataclass(frozen=True)
class Seeds:
    """Patterns that a search begins with, and what finding them cost.

    Attributes:
        picks: patterns of the search's space, by the name of the rule that picked them.
        grown: those that the best patterns of another budget have become.
        losses: of patterns of the space that were judged in full to find them.
        beside: how many other patterns were judged.
        cost: dense-forward equivalents spent on that.
        work: the same work by what it was.
    """

    picks: Mapping[str, Pattern] = field(default_factory=dict)
    grown: tuple[Pattern, ...] = ()
    losses: Mapping[Pattern, float] = field(default_factory=dict)
    beside: int = 0
    cost: float = 0.0
    work: Work = field(default_factory=Work)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """What was picked and what has grown, no two alike."""
        return tuple(dict.fromkeys((*self.picks.values(), *self.grown)))


@dataclass(frozen=True)
class Foresight:
    """What was expected of patterns before they were evaluated.

    Attributes:
        expected: (patterns,) losses in nats per token.
        low: (patterns,) lower end of an interval that should hold the loss in nine of ten cases.
        high: (patterns,) upper end.
        trusted: whether these decided what was evaluated.
        fit: rank correlation of the losses known before with what all others say of each.
        cover: share of the losses known before within the interval that all others give.
    """

    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    trusted: bool
    fit: float
    cover: float


@dataclass(frozen=True)
class Preference:
    """Which of many proposals are evaluated, and what is expected of them.

    Attributes:
        chosen: in the order of preference.
        foresight: in the order of `chosen`; None where nothing is known yet.
    """

    chosen: tuple[Genome, ...]
    foresight: Foresight | None = None


@dataclass(frozen=True)
class EvolutionState:
    """Everything the evolution knows after a generation; plain data.

    Attributes:
        generation: generations done after the first one, which is 0.
        population: the survivors, best first.
        losses: every pattern evaluated on all windows so far and its loss, in that order.
        lost: patterns that were judged in part and not chosen; never proposed again.
        beside: how many other patterns were judged, to find those that the search began with.
        picks: what it began with, by the name of the rule that picked it.
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
    lost: tuple[Pattern, ...] = ()
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
        """Patterns judged so far, in full or in part."""
        return len(self.losses) + len(self.lost) + self.beside

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
