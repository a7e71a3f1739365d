"""What an evaluator asks of a compensation: patterns are then evaluated as compensated models."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from evop_deap.models.anatomy.steps import Steps
from evop_deap.space import Pattern


class Compensator(Protocol):
    """Compensates any pattern of a model at once."""

    @property
    def name(self) -> str:
        """What affects the weights of a compensated pattern, besides model and pattern."""
        ...

    @property
    def steps(self) -> Steps:
        """The steps that compensated patterns take."""
        ...

    def written(self, pattern: Pattern) -> AbstractContextManager[None]:
        """Return a context in which the model has the weights of the compensated pattern."""
        ...


def written_by(compensator: Compensator | None, pattern: Pattern) -> AbstractContextManager[None]:
    """Return the context of `Compensator.written`; without a compensator, nothing changes."""
    return nullcontext() if compensator is None else compensator.written(pattern)
