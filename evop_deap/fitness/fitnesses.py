"""The names of the fitness functions, and weighted sums of two."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evop_deap.base.errors import InputError

FITNESSES = ("ce", "kl", "answers")
"""Cross-entropy of the next token, divergence from the dense model's predictions, and
cross-entropy over the options of multiple-choice questions."""

_SUM = re.compile(r"(ce|kl)\+(?:([0-9]+(?:\.[0-9]+)?)\*)?answers", re.ASCII)


@dataclass(frozen=True)
class FitnessTerms:
    """The terms of a fitness.

    Attributes:
        on_text: "ce" or "kl"; None without such a term.
        weight: of the loss of a question; 0 without such a term.

    Example:
        >>> read_fitness("ce+0.5*answers")
        FitnessTerms(on_text='ce', weight=0.5)
    """

    on_text: str | None
    weight: float

    @property
    def is_sum(self) -> bool:
        """Whether there are two terms."""
        return self.on_text is not None and self.weight > 0


def read_fitness(name: str) -> FitnessTerms:
    """Return the terms of a fitness: a name, or a sum such as "ce+0.5*answers".

    Raises:
        InputError: it is neither.
    """
    if name in FITNESSES:
        return FitnessTerms(None, 1.0) if name == "answers" else FitnessTerms(name, 0.0)
    found = _SUM.fullmatch(name)
    weight = float(found[2] or 1) if found else 0.0
    if found is None or not 0 < weight <= 1e6:
        known = " or ".join(f"'{one}'" for one in FITNESSES)
        raise InputError(
            f"`fitness` must be {known}, or a sum such as 'ce+0.5*answers', but got '{name}'"
        )
    return FitnessTerms(found[1], weight)
