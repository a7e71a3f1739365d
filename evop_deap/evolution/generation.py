"""Evaluation of a generation: all chosen children in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from deap import base

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.strategies import Choice
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.space import Pattern


@dataclass(frozen=True)
class Generation:
    """The results of a generation's children.

    Attributes:
        losses: losses of the children that were evaluated on all windows.
        eliminated: the other children.
        cost: dense-forward equivalents charged for all children.
        hits: number of children whose losses were known without an evaluation.
        work: the executed work.
    """

    losses: Mapping[Pattern, float]
    eliminated: tuple[Pattern, ...]
    cost: float
    hits: int
    work: Work


def evaluate_generation(
    evaluate: Callable[[Sequence[Pattern]], Evaluation],
    children: Sequence[Genome],
    choice: Choice,
) -> Generation:
    """Evaluate the chosen children and set their fitness.

    Args:
        evaluate: returns the losses of whole populations.
        children: all children of the generation.
        choice: the children to evaluate, and the cost of choosing them.
    """
    patterns = [child.pattern for child in children]
    costs, known = np.array(choice.costs, dtype=float), np.array(choice.answered)
    work, losses = choice.work, {}
    if choice.chosen:
        chosen = [individual.pattern for individual in choice.chosen]
        found = evaluate(chosen)
        losses = dict(zip(chosen, found.losses.tolist(), strict=True))
        these = [pattern in losses for pattern in patterns]
        costs[these] += found.costs
        known[these] &= found.answered
        work += found.work
    for individual in choice.chosen:
        individual.fitness.values = (losses[individual.pattern],)
    return Generation(
        losses=losses,
        eliminated=tuple(pattern for pattern in patterns if pattern not in losses),
        cost=sum(costs.tolist()),
        hits=int(known.sum()),
        work=work,
    )


def evaluate_by_map(toolbox: base.Toolbox, patterns: Sequence[Pattern]) -> Evaluation:
    """Evaluate by `toolbox.map(toolbox.evaluate, …)`; a pattern costs one dense forward pass."""
    fitnesses = toolbox.map(toolbox.evaluate, [Genome(pattern) for pattern in patterns])
    losses = np.array([loss for (loss,) in fitnesses], dtype=float)
    return Evaluation(losses[:, None], np.ones(1, dtype=np.int64), np.ones(len(losses)))
