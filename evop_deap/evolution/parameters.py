"""The settings of the evolution and their defaults, which are defined only here.

The module imports neither numpy nor DEAP, because the command line takes its defaults from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EvolutionSettings:
    """Sizes and rates of the evolution, and the settings of its surrogate and races.

    `evolve` itself reads the first seven; `assemble` uses the others to make the operators, the
    surrogate and the races.

    Attributes:
        population: μ, individuals that survive a generation.
        offspring: λ, new patterns evaluated per generation.
        crossover: probability that a child has two parents.
        mutation: probability that a child of two parents is mutated; a child of one parent
            always is.
        attempts: attempts to breed a new child before a random pattern is drawn instead.
        proposals: children proposed for each one evaluated, in the first round of a surrogate.
        restart: generations in a row without a better pattern after which all individuals but
            the best are redrawn; 0 is never.
        tournament: individuals that compete to become a parent.
        neighbour: share of mutations that move a dropped unit to a neighbour.
        more_swaps: probability of each further swap in the other mutations.
        surrogate: "gp", a Gaussian process with interactions between units, "linear", one
            without, or "none".
        racing: "on" evaluates children on a part of the windows first; "off" does not.
        racing_rungs: approximate number of steps of a race.
        racing_confidence: confidence at which a race eliminates a child.

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
        """Return the evolution's settings out of a mapping by name; other names are ignored."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: settings[name] for name in names if name in settings})
