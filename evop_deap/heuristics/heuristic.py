"""A published heuristic that picks a pattern, and its properties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError
from evop_deap.space.unit_names import GRANULARITIES, granularity_of

if TYPE_CHECKING:
    from evop_deap.evolution.stopping import Stopping
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
        self.check_granularity(found, "method")
        if (picked := task.recalled(self.name)) is not None:
            return picked
        return self.pick(task)

    def check_granularity(self, granularity: str, setting: str) -> None:
        """Check that the heuristic is defined for units of this granularity.

        Args:
            granularity: "block" or "half".
            setting: the setting that names the heuristic, for the message.

        Raises:
            InputError: it is not.
        """
        if granularity not in self.granularities:
            raise InputError(
                f"`{setting}` {self.name} is defined for `granularity` "
                f"{' or '.join(self.granularities)}, but got {granularity}"
            )

    def unheeded(self, limits: Stopping) -> str | None:
        """Return a line that names the limits which do not end this heuristic; None without any."""
        given = {
            "max_cost": limits.cost,
            "max_evaluations": limits.evaluations,
            "max_seconds": limits.seconds,
        }
        names = [f"`{name}`" for name, limit in given.items() if limit is not None]
        if self.searches or not names:
            return None
        does = "does" if len(names) == 1 else "do"
        return f"{' and '.join(names)} {does} not limit {self.name}: it runs to its end"
