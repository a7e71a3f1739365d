"""The patterns that heuristics pick for the first generation of a search, and their cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from evop_deap.base.errors import InputError
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import Seeds
from evop_deap.fitness.meter import Meter
from evop_deap.fitness.protocol import Work
from evop_deap.heuristics.registry import LOOKS, METHODS, Method
from evop_deap.heuristics.sublayer_picks import picks_of_halves, whole_units
from evop_deap.heuristics.task import Look, Pick, Task, passes
from evop_deap.heuristics.unit_kinds import granularity_of
from evop_deap.settings.search_config import HEURISTICS
from evop_deap.space import Pattern, SearchSpace


def seeding_methods(names: tuple[str, ...], space: SearchSpace) -> list[Method]:
    """The heuristics of these names; of "heuristics", all cheap ones for units of this kind."""
    if names != (HEURISTICS,):
        return [METHODS[name] for name in names]
    found = granularity_of(space.units)
    return [method for method in METHODS.values() if method.cheap and found in method.granularities]


def seeds_of(methods: list[Method], task: Task) -> Seeds:
    """The patterns that these methods pick, and what all of them cost together.

    Heuristics of `LOOKS` look into the model at once, and of sublayers they pick several times.

    Raises:
        InputError: they evaluate as many patterns as the whole search may, or more.
    """
    meter = Meter(task.evaluator, space=task.space, admit=_admission(task.stopping))
    looks, work = _looks(methods, task)
    cost = max((look.cost for look in looks.values()), default=0.0)
    paid = {name: replace(look, cost=0.0) for name, look in looks.items()}
    task = replace(task, evaluator=meter, looks=paid)
    picks: dict[str, Pattern] = {}
    for method in methods:
        for name, picked in _picked(method, task).items():
            picks[name] = picked.pattern
            cost, work = cost + picked.cost, work + picked.work
    return Seeds(
        picks=picks,
        losses=dict(meter.losses),
        beside=meter.evaluations - len(meter.losses),
        cost=cost,
        work=work,
    )


def _looks(methods: Sequence[Method], task: Task) -> tuple[Mapping[str, Look], Work]:
    """What those of the heuristics that look have seen or see now, and the work of seeing it."""
    names = [method.name for method in methods if method.name in LOOKS]
    known = {name: task.looks[name] for name in names if name in task.looks}
    if known or not names:
        return known, Work()
    from evop_deap.heuristics.scores import looks_of

    return looks_of(task, names), passes(task.model_parts)


def _picked(method: Method, task: Task) -> dict[str, Pick]:
    """What the heuristic picks, by the name of its kind of pick."""
    look = task.looks.get(method.name)
    if look is not None and task.space.blocks and look.knows(whole_units(task.space)):
        return picks_of_halves(method, task)
    return {method.name: method(task)}


def _admission(stopping: Stopping) -> Callable[[int], object]:
    """What refuses, before it is paid for, a number of patterns that leaves none to the search."""

    def admit(wanted: int) -> None:
        most = stopping.evaluations
        if most is not None and wanted >= most:
            raise InputError(
                f"`init` evaluates {wanted} patterns, but `max_evaluations` is {most}: "
                "raise it, or begin with --init balanced"
            )

    return admit
