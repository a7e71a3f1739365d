"""A walk of a population on one group of windows, for blocks that come one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evop_deap.fitness.model.kept_states import Prefix
from evop_deap.fitness.model.state_store import State, StateStore
from evop_deap.fitness.model.walk import Tally
from evop_deap.models.anatomy.entrance import BlockCall
from evop_deap.models.anatomy.steps import Step


@dataclass(frozen=True, eq=False)
class StreamedBranch:
    """Patterns that took the same steps so far, how many those are, and their common state."""

    rows: tuple[int, ...]
    taken: int
    state: State


class StreamedWalk:
    """A walk of a population, which takes all its branches through a step before the next step.

    Args:
        routes: (patterns,) the steps that each pattern takes.
        calls: the calls of all blocks on these windows.
        start: the input of the first block on these windows.
        store: keeps hidden states.
        tally: counts the work.
    """

    def __init__(
        self,
        routes: Sequence[Prefix],
        calls: Sequence[BlockCall],
        start: State,
        store: StateStore,
        tally: Tally,
    ) -> None:
        self.branches = [StreamedBranch(tuple(range(len(routes))), 0, start)]
        self._routes, self._calls = routes, calls
        self._store, self._tally = store, tally

    def take(self, place: int, step: Step) -> None:
        """Take all patterns through a step whose route has it next.

        Args:
            place: index of the step.
            step: the step, whose block is in memory.
        """
        branches, self.branches = self.branches, []
        while branches:
            branch = branches.pop()
            taking = tuple(row for row in branch.rows if self._next(row, branch) == place)
            passing = tuple(row for row in branch.rows if self._next(row, branch) != place)
            taken, state = branch.taken, branch.state
            del branch  # the room of a state that nobody needs any more goes to its successor
            hidden = step.run(self._calls, state.tensor()) if taking else None
            if passing:
                self.branches.append(StreamedBranch(passing, taken, state))
            del state
            if hidden is not None:
                self._tally.block(taking[0], step.work, len(hidden))
                after = self._store.put(hidden)
                self.branches.append(StreamedBranch(taking, taken + 1, after))

    def _next(self, row: int, branch: StreamedBranch) -> int | None:
        """The next step of a pattern; None after its last one."""
        route = self._routes[row]
        return route[branch.taken] if branch.taken < len(route) else None
