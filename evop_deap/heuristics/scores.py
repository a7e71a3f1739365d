"""Scores that heuristics give the units of a model, computed in one pass."""

from __future__ import annotations

from collections.abc import Iterable

from evop_deap.heuristics.block_influence import turn
from evop_deap.heuristics.observing import mean_by_unit, watching_cost
from evop_deap.heuristics.registry import SCORERS
from evop_deap.heuristics.relative_magnitude import share
from evop_deap.heuristics.task import Task, UnitScores

_MEASURES = {"block-influence": turn, "relative-magnitude": share}


def scores_of(task: Task, names: Iterable[str] = SCORERS) -> dict[str, UnitScores]:
    """Return the unit scores of these heuristics, which are in `SCORERS`, from one pass."""
    measures = {name: _MEASURES[name] for name in names}
    cost = watching_cost(task)
    means = mean_by_unit(task.model_parts, measures)
    return {name: UnitScores(by_unit, cost) for name, by_unit in means.items()}
