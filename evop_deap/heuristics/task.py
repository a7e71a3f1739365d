"""The input and the output of a heuristic."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError
from evop_deap.base.numbers import finite_or_worst
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.protocol import Work
from evop_deap.space import Pattern, SearchSpace, Unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.fitness.protocol import Evaluator
    from evop_deap.models.anatomy.parts import Anatomy


@dataclass(frozen=True, eq=False)
class ModelParts:
    """The model that a heuristic runs or reads.

    Attributes:
        model: the dense model, which stays unchanged.
        anatomy: its units, the genes of the task's space.
        windows: (windows, length) token ids to run it on.
        pass_cost: cost of a pass of the dense model over `windows`, in the unit of the search's.
    """

    model: PreTrainedModel
    anatomy: Anatomy
    windows: NDArray[np.int64]
    pass_cost: float = 1.0


@dataclass(frozen=True)
class UnitScores:
    """The scores that a heuristic gave the units of a model.

    Attributes:
        scores: by the unit's name; the lowest is dropped first. If the units are sublayers, it
            also has the scores of the blocks.
        cost: dense-forward equivalents spent, for all heuristics that ran together.
    """

    scores: Mapping[str, float]
    cost: float

    def covers(self, units: Sequence[Unit]) -> bool:
        """Return whether all of these units have a score."""
        return all(unit.name in self.scores for unit in units)


@dataclass(frozen=True, eq=False)
class Task:
    """A request for a pattern: the space, the evaluator and the limits.

    Attributes:
        space: the space of patterns.
        evaluator: evaluates patterns.
        rng: source of all randomness.
        stopping: `evaluations`, `cost` and `seconds` limit the heuristics that search; the others
            ignore them.
        parts: the model, for heuristics that need it; None if only losses are known.
        scores: known scores by the heuristic's name; a heuristic with scores here does not run
            the model again.

    Example:
        >>> from evop_deap.fitness.tabular import TabularEvaluator
        >>> from evop_deap.heuristics import METHODS
        >>> from evop_deap.space import Unit
        >>> space = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(3)), n_drop=2)
        >>> table = TabularEvaluator({(0, 1, 1): 1.0, (1, 0, 1): 3.0, (1, 1, 0): 2.0})
        >>> METHODS["leave-one-out"](Task(space, table, random.Random(0))).pattern
        (0, 1, 0)
    """

    space: SearchSpace
    evaluator: Evaluator
    rng: random.Random
    stopping: Stopping = field(default_factory=Stopping)
    parts: ModelParts | None = None
    scores: Mapping[str, UnitScores] = field(default_factory=dict)

    @property
    def model_parts(self) -> ModelParts:
        """The model, its anatomy and its windows.

        Raises:
            InputError: the task has no model.
        """
        if self.parts is None:
            raise InputError("`method` needs a model, but only losses are known here")
        return self.parts

    def recalled(self, name: str) -> Pick | None:
        """Return the pick of this heuristic from known scores; None without them."""
        known, units = self.scores.get(name), self.space.units
        if known is None or not known.covers(units):
            return None
        return lowest(self, [known.scores[unit.name] for unit in units], cost=known.cost)


@dataclass(frozen=True, eq=False)
class Pick:
    """The pattern that a heuristic picked, and the cost.

    Attributes:
        pattern: 1 = keep.
        cost: dense-forward equivalents spent.
        evaluations: number of distinct patterns evaluated, on all windows or some.
        work: the same work as `cost`, by kind; a backward pass counts as two forward passes.
        scores: (units,) scores, if the heuristic has any; the lowest unit is dropped first.
        order: the droppable units in the heuristic's order of dropping, if it has one.
        path: patterns on the way to `pattern`, each with one more unit dropped, if the heuristic
            goes step by step.
        losses: losses of the patterns evaluated on all windows, if `pattern` is the one with
            the lowest of them.
        merges: for each kept block that absorbs others, the share of each block's matrices in
            its weighted sum.
    """

    pattern: Pattern
    cost: float = 0.0
    evaluations: int = 0
    work: Work = field(default_factory=Work)
    scores: tuple[float, ...] | None = None
    order: tuple[int, ...] = ()
    path: tuple[Pattern, ...] = ()
    losses: Mapping[Pattern, float] = field(default_factory=dict)
    merges: Mapping[int, Mapping[int, float]] = field(default_factory=dict)


def ranked(space: SearchSpace, scores: Sequence[float]) -> tuple[int, ...]:
    """Return the droppable units by ascending score, ties in unit order, non-finite scores last."""
    worth = [finite_or_worst(score) for score in scores]
    return tuple(sorted(space.droppable, key=worth.__getitem__))


def lowest(
    task: Task,
    scores: Sequence[float],
    *,
    cost: float = 0.0,
    evaluations: int = 0,
    work: Work | None = None,
) -> Pick:
    """Return the pattern that drops the units of lowest score within the budget."""
    order = ranked(task.space, scores)
    return Pick(
        task.space.greedy(order),
        cost=cost,
        evaluations=evaluations,
        work=work or Work(),
        scores=tuple(map(float, scores)),
        order=order,
    )


def passes(parts: ModelParts, count: int = 1, *, cost: float) -> Work:
    """Return the work of `count` passes over the windows, of this cost together."""
    tokens = count * parts.windows.size
    return Work(block_tokens=tokens * len(parts.anatomy.parts), head_tokens=tokens, executed=cost)
