"""A published heuristic that picks a pattern, and its properties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError
from evop_deap.space.unit_names import GRANULARITIES, granularity_of

if TYPE_CHECKING:
    from evop_deap.heuristics.task import Pick, Task

BLOCK, HALF = "block", "half"


@dataclass(frozen=True)
class Heuristic:
    """A heuristic that picks a pattern.

    Attributes:
        name: its name for `--method`.
        title: its name for readers.
        pick: the function; it does its heavy imports when it is called.
        needs_model: whether it runs or reads the model; the others need only losses.
        granularities: the kinds of units that it is defined for: "block", "half".
        cheap: whether it costs few enough passes to seed a search.
        searches: whether it runs until a limit is reached.
        merges: whether it merges dropped blocks into kept ones.
        holds_model: whether it needs all weights of the model in memory at once.
        reads_weights: whether it reads weights as numbers, which quantised ones are not.
    """

    name: str
    title: str
    pick: Callable[[Task], Pick]
    needs_model: bool = False
    granularities: tuple[str, ...] = tuple(GRANULARITIES)
    cheap: bool = False
    searches: bool = False
    merges: bool = False
    holds_model: bool = False
    reads_weights: bool = False

    def __call__(self, task: Task) -> Pick:
        """Pick a pattern.

        Raises:
            InputError: the heuristic is not defined for these units or this budget, or it needs
                a model and there is none.
        """
        found = granularity_of(unit.name for unit in task.space.units)
        if found not in self.granularities:
            raise InputError(
                f"`method` {self.name} is defined for `granularity` "
                f"{' or '.join(self.granularities)}, but got {found}"
            )
        if (picked := task.recalled(self.name)) is not None:
            return picked
        return self.pick(task)
