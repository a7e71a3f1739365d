"""The settings of the evolution and their defaults, which stand here and nowhere else.

It imports neither numpy nor DEAP: the command line takes its defaults from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EvolutionSettings:
    """Sizes and rates of the evolution, and what chooses among its proposals.

    `assemble` makes operators, a surrogate and races of them; `evolve` itself reads the first
    seven.

    Attributes:
        population: μ, individuals that survive a generation.
        offspring: λ, new patterns evaluated a generation.
        crossover: probability that a child has two parents.
        mutation: probability that such a child is mutated too; one with a single parent
            always is.
        attempts: tries at a child not evaluated before, until one is drawn afresh instead.
        proposals: children proposed for each that is evaluated, where a surrogate chooses
            among them.
        restart: generations in a row without a better pattern after which all individuals but
            the best give way to fresh ones; 0 is never.
        tournament: individuals that compete to be a parent.
        neighbour: share of mutations that move a dropped unit to a neighbour.
        more_swaps: probability of each further swap in the other mutations.
        surrogate: "gp", a Gaussian process that knows interactions, "linear", one that does
            not, or "none".
        racing: "on" evaluates children on a part of the windows first; "off" does not.
        racing_rungs: parts that a race sees the windows in, about.
        racing_confidence: how sure a race must be that a child does not survive.

    Example:
        >>> EvolutionSettings.of({"population": 8, "window": 256}).population
        8
    """

    population: int = 4
    offspring: int = 4
    crossover: float = 0.5
    mutation: float = 0.65
    attempts: int = 20
    proposals: int = 11
    restart: int = 0
    tournament: int = 3
    neighbour: float = 0.35
    more_swaps: float = 0.5
    surrogate: str = "gp"
    racing: str = "on"
    racing_rungs: int = 8
    racing_confidence: float = 0.99

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> EvolutionSettings:
        """The evolution's share of settings by name; the others are left alone."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: settings[name] for name in names if name in settings})
