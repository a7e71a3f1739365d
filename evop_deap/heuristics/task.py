"""What a heuristic is given, and what it gives back."""

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
        model: the dense model, left as it was.
        anatomy: its units, the genes of the task's space.
        windows: (windows, length) token ids to run it on.
    """

    model: PreTrainedModel
    anatomy: Anatomy
    windows: NDArray[np.int64]


@dataclass(frozen=True)
class UnitScores:
    """The scores that a heuristic gave the units of a model.

    Attributes:
        scores: by the unit's name, the lower, the sooner it goes; where units are less than
            blocks, those of the blocks beside theirs.
        cost: dense-forward equivalents that it took, for all heuristics that ran together.
    """

    scores: Mapping[str, float]
    cost: float

    def knows(self, units: Sequence[Unit]) -> bool:
        """Whether all of these have a score."""
        return all(unit.name in self.scores for unit in units)


@dataclass(frozen=True, eq=False)
class Task:
    """A pattern is wanted: from which space, evaluated by what, for how much.

    Attributes:
        space: which patterns there are.
        evaluator: finds their losses.
        rng: all randomness is drawn from it.
        stopping: `evaluations`, `cost` and `seconds` bind the heuristics that search; the others
            take what they take.
        parts: the model, for heuristics that need it; None where only losses are known.
        scores: by the heuristic's name, the scores that are known already: it goes by them and
            does not run the model again.

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
        """The model and what belongs to it.

        Raises:
            InputError: there is none.
        """
        if self.parts is None:
            raise InputError("`method` looks into a model, but only losses are known here")
        return self.parts

    def recalled(self, name: str) -> Pick | None:
        """What the heuristic of this name picks by scores that are known; None without them."""
        known, units = self.scores.get(name), self.space.units
        if known is None or not known.knows(units):
            return None
        return lowest(self, [known.scores[unit.name] for unit in units], cost=known.cost)


@dataclass(frozen=True, eq=False)
class Pick:
    """The pattern that a heuristic picked, and what finding it out cost.

    Attributes:
        pattern: 1 = keep.
        cost: dense-forward equivalents spent.
        evaluations: different patterns that were evaluated, on all windows or some.
        work: the same work as `cost`, by what it was; of a backward pass as of two forward ones.
        scores: (units,) where the heuristic has any: the lower, the sooner the unit goes.
        order: the droppable units in the order in which the heuristic would drop them, where
            it has one.
        path: patterns on the way to `pattern`, each with one more unit gone, where the
            heuristic goes step by step.
        losses: of patterns of the space evaluated on all windows, where `pattern` was picked
            because it has the lowest of them.
        merges: of blocks that stay and take up others, how much of each block's matrices theirs
            become.
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
    """The droppable units, lowest score first, of equals the first; no number goes last."""
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
    """The pattern that drops the units of the lowest scores, as far as the budget goes."""
    order = ranked(task.space, scores)
    return Pick(
        task.space.greedy(order),
        cost=cost,
        evaluations=evaluations,
        work=work or Work(),
        scores=tuple(map(float, scores)),
        order=order,
    )


def passes(parts: ModelParts, count: int = 1) -> Work:
    """What so many passes of the dense model over the windows execute."""
    tokens = count * parts.windows.size
    return Work(block_tokens=tokens * len(parts.anatomy.blocks), head_tokens=tokens)
