"""Settings of a fitness that do not go together."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.base.errors import InputError
from evop_deap.fitness.fitnesses import read_fitness
from evop_deap.heuristics.registry import METHODS


def check_fitness_settings(
    fitness: str, questions: Sequence[str], weighting: str, method: str
) -> None:
    """Refuse a fitness that is unknown, or that does not go with other settings.

    Raises:
        InputError: it is, or does not.
    """
    terms = read_fitness(fitness)
    if bool(questions) != (terms.weight > 0):
        raise InputError(
            f"`fitness` answers and `questions` need each other, but got {len(questions)} files "
            f"of questions with `fitness` {fitness}"
        )
    if terms.is_sum and weighting != "none":
        raise InputError(f"`weighting` {weighting} cannot be combined with `fitness` {fitness}")
    if terms.is_sum and method in METHODS and METHODS[method].merges:
        raise InputError(
            f"`method` {method} merges blocks, which no sum evaluates: take another `fitness` "
            f"than {fitness}"
        )
