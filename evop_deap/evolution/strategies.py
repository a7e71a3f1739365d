"""The replaceable parts of the evolution, and the plain data that they hand to it."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from deap import base
from numpy.typing import NDArray

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.proposals import propose
from evop_deap.evolution.survival import Survival
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.space import Pattern


@dataclass(frozen=True)
class Seeds:
    """Patterns that a search begins with, and what finding them cost.

    Attributes:
        picks: patterns of the search's space, by the name of the heuristic that picked them.
        grown: those that the best patterns of another budget have become.
        losses: of patterns of the space that were evaluated in full to find them.
        beside: how many other patterns were evaluated.
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
class Breed:
    """How a surrogate comes to further proposals.

    Attributes:
        seen: patterns that need no evaluation any more.
        propose: (parents, known, count): up to `count` children, none of them known.
    """

    seen: Collection[Pattern]
    propose: Callable[[Sequence[Genome], Collection[Pattern], int], list[Genome]]

    def children(
        self, parents: Sequence[Genome], count: int, beside: Collection[Pattern] = ()
    ) -> list[Genome]:
        """Up to `count` children, none of them seen or among `beside`."""
        return self.propose(parents, {*self.seen, *beside}, count)


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


@dataclass(frozen=True, eq=False)
class Choice:
    """Which children are worth a full evaluation, and what finding that out cost.

    Attributes:
        chosen: in the order of the children.
        costs: (children,) dense-forward equivalents spent on each.
        work: the same work by what it was.
    """

    chosen: tuple[Genome, ...]
    costs: NDArray[np.float64]
    work: Work = field(default_factory=Work)

    @classmethod
    def of_all(cls, children: Sequence[Genome], work: Work | None = None) -> Choice:
        """Every child, for nothing but `work`."""
        return cls(tuple(children), np.zeros(len(children)), work or Work())


Propose = Callable[
    [
        Sequence[Genome],
        Collection[Pattern],
        int,
        base.Toolbox,
        random.Random,
        EvolutionSettings,
    ],
    list[Genome],
]
"""(population, seen, count, toolbox, rng, settings): up to `count` children, none of them seen."""


@dataclass(frozen=True)
class Strategies:
    """The parts of a search that can be replaced; the defaults are a plain evolution.

    Attributes:
        evaluate: the losses of some patterns, and what they cost. Without it DEAP's
            `toolbox.map(toolbox.evaluate, …)` is called, and a pattern counts as one dense
            forward pass.
        begin: the patterns that the first population begins with.
        propose: makes children of a population.
        prefer: (proposals, count, breed): which of many proposals to evaluate, such as a
            surrogate's; it may `breed` more of them. Without it no more are proposed than are
            evaluated.
        choose: (children, population): which children to evaluate on all windows, such as
            `race`. Without it all of them are.
        survival: who survives a generation.
    """

    evaluate: Callable[[Sequence[Pattern]], Evaluation] | None = None
    begin: Callable[[], Seeds] = Seeds
    propose: Propose = propose
    prefer: Callable[[Sequence[Genome], int, Breed], Preference] | None = None
    choose: Callable[[Sequence[Genome], Sequence[Genome]], Choice] | None = None
    survival: Survival = field(default_factory=Survival)


PLAIN = Strategies()
