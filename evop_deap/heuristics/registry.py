"""The heuristics by name, collected from their files without heavy imports."""

from __future__ import annotations

from evop_deap.base.errors import InputError
from evop_deap.heuristics import (
    angular_distance,
    best_of_random,
    block_influence,
    blockpruner,
    evopress,
    laco,
    last_blocks,
    leave_one_out,
    llm_drop,
    magnitude,
    optuna_cmaes,
    optuna_nsga2,
    optuna_tpe,
    relative_magnitude,
    sleb,
    taylor,
    uniform,
)
from evop_deap.heuristics.heuristic import Heuristic

_FILES = (
    uniform,
    best_of_random,
    last_blocks,
    magnitude,
    taylor,
    block_influence,
    angular_distance,
    relative_magnitude,
    leave_one_out,
    sleb,
    blockpruner,
    llm_drop,
    laco,
    evopress,
    optuna_tpe,
    optuna_nsga2,
    optuna_cmaes,
)

METHODS: dict[str, Heuristic] = {file.HEURISTIC.name: file.HEURISTIC for file in _FILES}
"""Every heuristic by its name."""

ALL_CHEAP = "heuristics"
"""The name for all heuristics that cost few enough passes to seed a search."""

SCORERS = ("block-influence", "relative-magnitude")
"""Heuristics whose scores of a model are stored for searches without the model."""


def method_named(name: str) -> Heuristic:
    """Return the heuristic of this name.

    Raises:
        InputError: there is none; the message lists all names.
    """
    if name not in METHODS:
        raise InputError(f"`method` must be one of {', '.join(METHODS)}, but got '{name}'")
    return METHODS[name]
