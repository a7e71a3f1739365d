"""Walking a population down the model: each distinct (steps before, step) is run once.

A walk yields every pattern's last hidden state. Depth first, one branch is followed to its
end before the next, which needs least memory; breadth first, all branches take a step,
stacked into few calls, before any takes the next.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.fitness.model.kept_states import KeptStates, Prefix
from evop_deap.models.anatomy.entrance import Entrance
from evop_deap.models.anatomy.steps import Step, Steps

Run = Callable[[Step, Sequence[torch.Tensor]], list[torch.Tensor]]
"""(step, hidden states) -> the hidden state after it for each."""
_END = sys.maxsize  # behind the last step


@dataclass(frozen=True, eq=False)
class Branch:
    """Patterns that took the same steps so far, and the hidden state they share."""

    rows: tuple[int, ...]
    prefix: Prefix
    hidden: torch.Tensor  # (windows, length, width)


@dataclass(eq=False)
class Tally:
    """Counts what a call of an evaluator executes.

    Attributes:
        spent: (patterns,) multiply-adds a token, times rows of tokens, by who is charged.
        block_rows: rows of tokens that went through a block, or through a part of one.
        head_rows: rows of tokens that went through the head.
        states: the most hidden states that were held at a time, the kept ones included.
    """

    spent: NDArray[np.float64]
    block_rows: int = 0
    head_rows: int = 0
    states: int = 0

    def block(self, row: int, work: int, rows: int) -> None:
        """A block was run, for the first pattern that asked for it."""
        self.spent[row] += work * rows
        self.block_rows += rows

    def heads(self, rows: Sequence[int], work: int, runs: int, count: int) -> None:
        """The head was run `runs` times over `count` rows of tokens, for these patterns."""
        for row in rows:
            self.spent[row] += work * count * runs / len(rows)
        self.head_rows += runs * count

    def holds(self, states: int) -> None:
        """So many hidden states are held now."""
        self.states = max(self.states, states)


@dataclass(frozen=True, eq=False)
class Walk:
    """A population on one group of windows.

    Attributes:
        steps: what the model can be made to do.
        routes: (patterns,) the steps that each pattern of the population takes.
        group: number of the group of windows.
        entrance: the model's way up to the first block on these windows.
        kept: states to begin from, and where to keep those at which patterns part ways.
        tally: counts the work.
    """

    steps: Steps
    routes: Sequence[Prefix]
    group: int
    entrance: Entrance
    kept: KeptStates
    tally: Tally = field(repr=False)

    def depth_first(self, rows: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """Each row and its last hidden state; at most one state waits at each depth."""
        waiting = self._starts(rows)
        while waiting:
            self._hold(waiting)
            branch = waiting.pop()
            next_step = min((self._next(row, branch) for row in branch.rows), default=_END)
            if next_step == _END:
                yield from ((row, branch.hidden) for row in branch.rows)
                continue
            taking, passing = self._parted(branch, next_step)
            if passing:
                waiting.append(Branch(passing, branch.prefix, branch.hidden))
            step = self.steps[next_step]
            hidden = step.run(self.entrance.calls, branch.hidden)
            self.tally.block(taking[0], step.work, len(hidden))
            waiting.append(Branch(taking, (*branch.prefix, next_step), hidden))

    def breadth_first(self, rows: Sequence[int], run: Run) -> Iterator[tuple[int, torch.Tensor]]:
        """Each row and its last hidden state; `run` takes a step from several states."""
        branches = self._starts(rows)
        self._hold(branches)
        for place in sorted({place for row in rows for place in self.routes[row]}):
            parted = [(branch, *self._parted(branch, place)) for branch in branches]
            stepping = [(branch, taking) for branch, taking, _ in parted if taking]
            if not stepping:
                continue
            step = self.steps[place]
            outputs = run(step, [branch.hidden for branch, _ in stepping])
            branches = [
                Branch(passing, branch.prefix, branch.hidden)
                for branch, _, passing in parted
                if passing
            ]
            for (branch, taking), hidden in zip(stepping, outputs, strict=True):
                self.tally.block(taking[0], step.work, len(hidden))
                branches.append(Branch(taking, (*branch.prefix, place), hidden))
            self._hold([*branches, *(branch for branch, _ in stepping)])
        for branch in branches:
            yield from ((row, branch.hidden) for row in branch.rows)

    def _hold(self, branches: Iterable[Branch]) -> None:
        """Count the states that are held now: a prefix stands for its state, wherever it is."""
        prefixes = {branch.prefix for branch in branches}
        walking = sum((self.group, prefix) not in self.kept for prefix in prefixes)
        self.tally.holds(walking + len(self.kept))

    def _starts(self, rows: Sequence[int]) -> list[Branch]:
        """What each row begins with: the deepest state kept, or none."""
        begins: dict[Prefix, list[int]] = {}
        for row in rows:
            prefix = self.kept.deepest(self.group, self.routes[row])
            begins.setdefault(prefix, []).append(row)
        return [Branch(tuple(some), prefix, self._state(prefix)) for prefix, some in begins.items()]

    def _state(self, prefix: Prefix) -> torch.Tensor:
        """The hidden state after these steps alone."""
        if not prefix:
            return self.entrance.hidden
        hidden = self.kept.get(self.group, prefix)
        if hidden is None:
            # Paid for by the process that was interrupted: nothing is counted again.
            hidden = self.entrance.hidden
            for place in prefix:
                hidden = self.steps[place].run(self.entrance.calls, hidden)
            self.kept.put(self.group, prefix, hidden)
        return hidden

    def _next(self, row: int, branch: Branch) -> int:
        """The step that a row takes next."""
        route, gone = self.routes[row], len(branch.prefix)
        return route[gone] if gone < len(route) else _END

    def _parted(self, branch: Branch, place: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The rows that take this step next and those that do not."""
        taking = tuple(row for row in branch.rows if self._next(row, branch) == place)
        passing = tuple(row for row in branch.rows if self._next(row, branch) != place)
        if taking and passing and branch.prefix:
            self.kept.put(self.group, branch.prefix, branch.hidden)
        return taking, passing
