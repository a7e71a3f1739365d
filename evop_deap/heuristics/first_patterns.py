"""Patterns that heuristics pick for the first generation of a search, and their cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from evop_deap.base.errors import InputError
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import Seeds
from evop_deap.fitness.meter import Meter
from evop_deap.fitness.protocol import Work
from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.registry import ALL_CHEAP, METHODS, SCORERS
from evop_deap.heuristics.sublayer_picks import sublayer_picks, whole_units
from evop_deap.heuristics.task import Pick, Task, UnitScores, passes
from evop_deap.space import Pattern, SearchSpace
from evop_deap.space.unit_names import granularity_of


def seeding_methods(names: tuple[str, ...], space: SearchSpace) -> list[Heuristic]:
    """Return the heuristics of these names; for "heuristics", all cheap ones for these units.

    Raises:
        InputError: one is not defined for these units.
    """
    found = granularity_of(unit.name for unit in space.units)
    if names != (ALL_CHEAP,):
        methods = [METHODS[name] for name in names]
        for method in methods:
            method.check_granularity(found, "init")
        return methods
    return [method for method in METHODS.values() if method.cheap and found in method.granularities]


def seeds_of(
    methods: list[Heuristic],
    task: Task,
    on_scores: Callable[[Mapping[str, UnitScores]], object] = lambda scores: None,
) -> Seeds:
    """Return the patterns that these heuristics pick, and their total cost.

    Heuristics in `SCORERS` share one pass of the model. Among halves, each picks several patterns.

    Args:
        methods: the heuristics.
        task: the search.
        on_scores: called with the scores of that pass, if one was run.

    Raises:
        InputError: they would use up the evaluations of the whole search.
    """
    meter = Meter(task.evaluator, space=task.space, admit=_admission(task.stopping))
    scores, work = _scores(methods, task, on_scores)
    cost = _cost(scores)
    paid = {name: replace(known, cost=0.0) for name, known in scores.items()}
    task = replace(task, evaluator=meter, scores=paid)
    picks: dict[str, Pattern] = {}
    for method in methods:
        for name, picked in _picked(method, task).items():
            picks[name] = picked.pattern
            cost, work = cost + picked.cost, work + picked.work
    return Seeds(
        picks=picks,
        losses=dict(meter.losses),
        other_evaluations=meter.evaluations - len(meter.losses),
        cost=cost,
        work=work,
    )


def scorers_of(methods: Sequence[Heuristic]) -> list[str]:
    """Return the names of the heuristics that are in `SCORERS`."""
    return [method.name for method in methods if method.name in SCORERS]


def _scores(
    methods: Sequence[Heuristic],
    task: Task,
    on_scores: Callable[[Mapping[str, UnitScores]], object],
) -> tuple[Mapping[str, UnitScores], Work]:
    """Return the scores of the heuristics in `SCORERS`, and the work to compute unknown ones."""
    names = scorers_of(methods)
    known = {name: task.scores[name] for name in names if name in task.scores}
    if known or not names:
        return known, Work()
    from evop_deap.heuristics.scores import scores_of

    scores = scores_of(task, names)
    on_scores(scores)
    return scores, passes(task.model_parts, cost=_cost(scores))


def _cost(scores: Mapping[str, UnitScores]) -> float:
    """Return the cost of heuristics that ran together."""
    return max((known.cost for known in scores.values()), default=0.0)


def _picked(method: Heuristic, task: Task) -> dict[str, Pick]:
    """Return the heuristic's picks by name."""
    known, blocks = task.scores.get(method.name), whole_units(task.space)
    # The only block of a model cannot go as a whole.
    if known is not None and task.space.blocks and len(blocks) > 1 and known.covers(blocks):
        return sublayer_picks(method, task)
    return {method.name: method(task)}


def _admission(stopping: Stopping) -> Callable[[int], object]:
    """Return a check that refuses, before the evaluation, more patterns than the search has."""

    def admit(wanted: int) -> None:
        most = stopping.evaluations
        if most is not None and wanted >= most:
            raise InputError(
                f"`init` evaluates {wanted} patterns, but `max_evaluations` is {most}: "
                "raise it, or begin with --init balanced"
            )

    return admit
