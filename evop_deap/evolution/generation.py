"""How a generation is judged: everyone that was chosen, whole populations at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deap import base

from evop_deap.base.numbers import finite_or_worst
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.state import Choice
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.space import Pattern


@dataclass(frozen=True)
class Judged:
    """What became of a generation's children.

    Attributes:
        losses: of those evaluated on all windows.
        lost: the others.
        cost: dense-forward equivalents spent on all of them.
        hits: how many cost nothing, because they were known.
        work: the same work as `cost`, by what it was.
    """

    losses: Mapping[Pattern, float]
    lost: tuple[Pattern, ...]
    cost: float
    hits: int
    work: Work


def judge(toolbox: base.Toolbox, children: Sequence[Genome], choice: Choice) -> Judged:
    """Give each child that was chosen its fitness."""
    spent = dict(zip((c.pattern for c in children), choice.costs.tolist(), strict=True))
    losses, costs, work = _evaluate(toolbox, choice.chosen)
    for individual, loss, cost in zip(choice.chosen, losses, costs, strict=True):
        individual.fitness.values = (finite_or_worst(loss),)
        spent[individual.pattern] += cost
    known = {individual.pattern: individual.loss for individual in choice.chosen}
    return Judged(
        losses=known,
        lost=tuple(pattern for pattern in spent if pattern not in known),
        cost=sum(spent.values()),
        # Judging anything runs the head at least: what cost nothing was known.
        hits=sum(cost == 0.0 for cost in spent.values()),
        work=choice.work + work,
    )


def _evaluate(
    toolbox: base.Toolbox, individuals: Sequence[Genome]
) -> tuple[list[float], list[float], Work]:
    """The loss of each individual, what each cost, and the work done."""
    if not individuals:
        return [], [], Work()
    own, judge_whole = getattr(toolbox.evaluate.func, "whole", (None, None))
    if judge_whole is not None and own is toolbox.evaluate.func:
        evaluation: Evaluation = judge_whole(individuals)
        return evaluation.losses.tolist(), evaluation.costs.tolist(), evaluation.work
    losses = [value for (value,) in toolbox.map(toolbox.evaluate, individuals)]
    return losses, [1.0] * len(losses), Work()
