"""The replaceable parts of the evolution, and the plain data that they exchange with it."""

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
from evop_deap.evolution.stopping import Prospect
from evop_deap.evolution.survival import Survival
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.space import Pattern


@dataclass(frozen=True)
class Seeds:
    """The first patterns of a search, and the cost of finding them.

    Attributes:
        picks: patterns of the search's space, by the name of the heuristic that picked them.
        grown: the best patterns of another budget, adapted to this one.
        losses: losses of patterns of the space that heuristics evaluated in full.
        other_evaluations: number of other patterns that heuristics evaluated.
        cost: dense-forward equivalents spent.
        work: the executed work behind `cost`.
    """

    picks: Mapping[str, Pattern] = field(default_factory=dict)
    grown: tuple[Pattern, ...] = ()
    losses: Mapping[Pattern, float] = field(default_factory=dict)
    other_evaluations: int = 0
    cost: float = 0.0
    work: Work = field(default_factory=Work)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The picks and the grown patterns, without duplicates."""
        return tuple(dict.fromkeys((*self.picks.values(), *self.grown)))

    @property
    def unknown(self) -> tuple[Pattern, ...]:
        """Those whose losses are not known."""
        return tuple(pattern for pattern in self.patterns if pattern not in self.losses)


@dataclass(frozen=True)
class Breed:
    """Breeds further proposals for a surrogate.

    Attributes:
        seen: patterns that were evaluated or eliminated, or are being evaluated.
        propose: (parents, known, count): up to `count` children, none of them in `known`.
        pending: those of `seen` that are being evaluated. A surrogate takes them as known, with
            the losses that it expects.
    """

    seen: Collection[Pattern]
    propose: Callable[[Sequence[Genome], Collection[Pattern], int], list[Genome]]
    pending: tuple[Pattern, ...] = ()

    def children(
        self, parents: Sequence[Genome], count: int, excluded: Collection[Pattern] = ()
    ) -> list[Genome]:
        """Return up to `count` children, none of them in `seen` or `excluded`."""
        return self.propose(parents, {*self.seen, *excluded}, count)


@dataclass(frozen=True)
class Foresight:
    """A surrogate's predictions for patterns before they are evaluated.

    Attributes:
        expected: (patterns,) predicted losses in nats per token.
        low: (patterns,) lower end of the 90 % prediction interval.
        high: (patterns,) upper end.
        trusted: whether the predictions decided which proposals are evaluated.
        fit: rank correlation of the known losses with their leave-one-out predictions.
        cover: share of the known losses within their 90 % leave-one-out interval.
        prospect: what is left to win by any proposal.
    """

    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    trusted: bool
    fit: float
    cover: float
    prospect: Prospect


@dataclass(frozen=True)
class Preference:
    """The proposals chosen for evaluation, and the predictions for them.

    Attributes:
        chosen: the proposals, in order of preference.
        foresight: the predictions in the order of `chosen`; None while too little is known.
    """

    chosen: tuple[Genome, ...]
    foresight: Foresight | None = None


@dataclass(frozen=True, eq=False)
class Choice:
    """The children chosen for a full evaluation, and the cost of choosing them.

    Attributes:
        chosen: in the order of the children.
        costs: (children,) dense-forward equivalents charged for each.
        work: the executed work.
        known: (children,) whether a cache has answered everything that was asked; None for those
            that cost nothing.
    """

    chosen: tuple[Genome, ...]
    costs: NDArray[np.float64]
    work: Work = field(default_factory=Work)
    known: NDArray[np.bool_] | None = None

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(children,) whether a cache has answered everything that was asked."""
        return self.costs == 0 if self.known is None else self.known

    @classmethod
    def of_all(cls, children: Sequence[Genome], work: Work | None = None) -> Choice:
        """Choose all children, at no cost of their own; `work` is work done before."""
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
"""(population, seen, count, toolbox, rng, settings): up to `count` children, none in `seen`."""


@dataclass(frozen=True)
class Strategies:
    """The replaceable parts of a search; the defaults are a plain evolution.

    Attributes:
        evaluate: returns the losses and costs of patterns. If None, DEAP's
            `toolbox.map(toolbox.evaluate, …)` is called, and a pattern costs one dense forward
            pass.
        begin: returns the seeds of the first population.
        propose: breeds children of a population.
        prefer: (proposals, count, breed): chooses the proposals to evaluate, for example by a
            surrogate; it may breed more of them. If None, all proposals are evaluated.
        choose: (children, population): chooses the children to evaluate on all windows, for
            example by `race`. If None, all are.
        survival: selects the survivors of a generation.
    """

    evaluate: Callable[[Sequence[Pattern]], Evaluation] | None = None
    begin: Callable[[], Seeds] = Seeds
    propose: Propose = propose
    prefer: Callable[[Sequence[Genome], int, Breed], Preference] | None = None
    choose: Callable[[Sequence[Genome], Sequence[Genome]], Choice] | None = None
    survival: Survival = field(default_factory=Survival)


PLAIN = Strategies()
