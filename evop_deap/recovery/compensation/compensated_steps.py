"""The steps of compensated patterns: a step before a cut runs with weights fitted for the cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from evop_deap.models.anatomy.steps import Step, Steps
from evop_deap.recovery.compensation.changed_weights import written
from evop_deap.recovery.compensation.cuts import cuts_of, places_of
from evop_deap.recovery.compensation.kept_changes import Kept, restored
from evop_deap.space import Pattern, dropped_units

if TYPE_CHECKING:
    from evop_deap.models.anatomy.entrance import BlockCall
    from evop_deap.models.anatomy.parts import Anatomy


@dataclass(frozen=True, eq=False)
class CompensatedStep(Step):
    """A step with changed weights.

    Attributes:
        changes: the changed weights.
    """

    changes: Kept

    def run(self, calls: Sequence[BlockCall], hidden: torch.Tensor) -> torch.Tensor:
        """Return the hidden state after the step: (rows, length, width)."""
        with written(restored(self.changes)):
            return super().run(calls, hidden)


@dataclass(frozen=True, eq=False)
class CompensatedSteps(Steps):
    """The steps of a model, and for each step one more before every possible cut.

    The index of a step tells the cut too, in the order of depth: an evaluator shares a step
    between patterns that have the same cut behind it.

    Attributes:
        anatomy: the anatomy of the model.
        changes: returns the changed weights for the index of a plain step and the last place of
            the cut behind it.
    """

    anatomy: Anatomy
    changes: Callable[[int, int], Kept]

    def __getitem__(self, index: int) -> Step:
        writing, last = self.cut(index)
        plain = super().__getitem__(writing)
        if last is None:
            return plain
        return CompensatedStep(plain.block, plain.silent, plain.work, self.changes(writing, last))

    def taken(self, pattern: Pattern) -> tuple[int, ...]:
        """Return the indices of the steps that a compensated pattern takes, ascending."""
        return tuple(self._taken(pattern))

    def cut(self, index: int) -> tuple[int, int | None]:
        """Return the index of the plain step, and the last place of the cut behind it or None."""
        writing, last = divmod(index, len(self.turns) + 1)
        return writing, last - 1 if last else None

    def _taken(self, pattern: Pattern) -> Iterator[int]:
        cuts = cuts_of(places_of(self.anatomy, dropped_units(pattern)))
        last: Mapping[int | None, int] = {cut.writer: cut.last for cut in cuts}
        for place, turn in enumerate(self.turns):
            for writing in turn.taken(pattern):
                yield writing * (len(self.turns) + 1) + last.get(place, -1) + 1
