"""Rows of the logbook: losses, diversity, cost and prediction quality of a generation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from deap import tools

from evop_deap.base.numbers import finite_or_worst
from evop_deap.base.ranks import rank_correlation
from evop_deap.evolution.generation import Generation
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.strategies import Preference
from evop_deap.space import Pattern


def record_of(
    number: int,
    population: Sequence[Genome],
    generation: Generation,
    *,
    evaluations: int,
    cost: float,
) -> dict[str, Any]:
    """Return a row of the logbook: the survivors' losses and diversity, and the cost so far."""
    statistics = tools.Statistics(lambda individual: individual.loss)
    for name, function in (("min", np.min), ("avg", np.mean), ("std", np.std), ("max", np.max)):
        statistics.register(name, function)
    with np.errstate(invalid="ignore"):
        compiled = statistics.compile(population)
    row = {name: finite_or_worst(float(value)) for name, value in compiled.items()}
    keep = np.mean(population, axis=0)  # (units,) share of survivors that keep each unit
    diversity = float(np.mean(2 * keep * (1 - keep)))  # probability that two differ in a unit
    return {
        "gen": number,
        "nevals": len(generation.losses),
        "lost": len(generation.eliminated),
        "hits": generation.hits,
        "evaluations": evaluations,
        "cost": cost,
        **row,
        "diversity": diversity,
        **dataclasses.asdict(generation.work),
    }


def foresight_of(preference: Preference, losses: Mapping[Pattern, float]) -> dict[str, Any]:
    """Return the logbook columns on the surrogate's quality, before and after the evaluation.

    "fit" and "cover" are leave-one-out figures over the losses known before. "foreseen" and
    "covered" compare the predictions with `losses`, the new ones. "chance" and "tolerance" say
    what was left to win before the evaluation.
    """
    if preference.foresight is None:
        return {}
    foresight = preference.foresight
    known = [place for place, child in enumerate(preference.chosen) if child.pattern in losses]
    seen = np.array([losses[preference.chosen[place].pattern] for place in known])
    inside = (foresight.low[known] <= seen) & (seen <= foresight.high[known])
    return {
        "trusted": foresight.trusted,
        "fit": foresight.fit,
        "cover": foresight.cover,
        "foreseen": rank_correlation(foresight.expected[known], seen),
        "covered": float(inside.mean()) if known else 0.0,
        "chance": foresight.prospect.chance,
        "tolerance": foresight.prospect.tolerance,
    }
