"""A published rule that picks a pattern, and what is known of it before it is asked."""

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
    """A rule that picks a pattern.

    Attributes:
        name: as `--method` takes it.
        title: for people.
        pick: the rule; it finds its heavy imports when it is called.
        needs_model: whether it looks into the model; the others need nothing but losses.
        granularities: what its units may be: "block", "half".
        cheap: whether it costs few enough passes to seed a search.
        searches: whether it goes on until a limit is reached.
        merges: whether blocks that stay take up those that go.
    """

    name: str
    title: str
    pick: Callable[[Task], Pick]
    needs_model: bool = False
    granularities: tuple[str, ...] = tuple(GRANULARITIES)
    cheap: bool = False
    searches: bool = False
    merges: bool = False

    def __call__(self, task: Task) -> Pick:
        """Pick a pattern.

        Raises:
            InputError: the heuristic is not defined for units of this kind, or for this budget,
                or there is no model to look into.
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
