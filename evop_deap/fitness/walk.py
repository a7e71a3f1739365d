"""Walking a population down the model: each distinct (kept prefix, block) is run once.

A walk yields every pattern's last hidden state. Depth first, one branch is followed to its
end before the next, which needs least memory; breadth first, all branches take a step,
stacked into few calls, before any takes the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.fitness.kept_states import KeptStates, Prefix
from evop_deap.models.anatomy import Anatomy
from evop_deap.models.staged import Entrance
from evop_deap.space import Pattern, kept_units

Steps = Callable[[int, Sequence[torch.Tensor]], list[torch.Tensor]]
"""(depth, hidden states) -> the block's output for each."""


@dataclass(frozen=True, eq=False)
class Branch:
    """Patterns that keep the same blocks so far, and the hidden state they share."""

    rows: tuple[int, ...]
    prefix: Prefix
    hidden: torch.Tensor  # (windows, length, width)


@dataclass(eq=False)
class Tally:
    """Counts what a call of an evaluator executes.

    Attributes:
        spent: (patterns,) multiply-adds a token, times rows of tokens, by who is charged.
        block_rows: rows of tokens that went through a block.
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
        anatomy: the blocks.
        patterns: all of the population.
        group: number of the group of windows.
        entrance: the model's way up to the first block on these windows.
        kept: states to begin from, and where to keep those at which patterns part ways.
        tally: counts the work.
    """

    anatomy: Anatomy
    patterns: Sequence[Pattern]
    group: int
    entrance: Entrance
    kept: KeptStates
    tally: Tally = field(repr=False)

    def depth_first(self, rows: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """Each row and its last hidden state; at most one state waits at each depth."""
        blocks = self.anatomy.blocks
        waiting = self._starts(rows)
        while waiting:
            self._hold(branch for _, branch in waiting)
            depth, branch = waiting.pop()
            if depth == len(blocks):
                yield from ((row, branch.hidden) for row in branch.rows)
                continue
            keeping, dropping = self._parted(branch, depth)
            if dropping:
                waiting.append((depth + 1, Branch(dropping, branch.prefix, branch.hidden)))
            if keeping:
                hidden = self.entrance.calls[depth](blocks[depth], branch.hidden)
                self.tally.block(keeping[0], blocks[depth].work, len(hidden))
                prefix = (*branch.prefix, depth)
                waiting.append((depth + 1, Branch(keeping, prefix, hidden)))

    def breadth_first(
        self, rows: Sequence[int], steps: Steps
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Each row and its last hidden state; `steps` runs a block over several states."""
        starting: dict[int, list[Branch]] = {}
        for depth, branch in self._starts(rows):
            starting.setdefault(depth, []).append(branch)
        branches: list[Branch] = []
        for depth, block in enumerate(self.anatomy.blocks):
            branches += starting.get(depth, [])
            parted = [(branch, *self._parted(branch, depth)) for branch in branches]
            stepping = [(branch, keeping) for branch, keeping, _ in parted if keeping]
            outputs = steps(depth, [branch.hidden for branch, _ in stepping])
            branches = [
                Branch(dropping, branch.prefix, branch.hidden)
                for branch, _, dropping in parted
                if dropping
            ]
            for (branch, keeping), hidden in zip(stepping, outputs, strict=True):
                self.tally.block(keeping[0], block.work, len(hidden))
                branches.append(Branch(keeping, (*branch.prefix, depth), hidden))
            self._hold([*branches, *(branch for branch, _ in stepping)])
        for branch in [*branches, *starting.get(len(self.anatomy.blocks), [])]:
            yield from ((row, branch.hidden) for row in branch.rows)

    def _hold(self, branches: Iterable[Branch]) -> None:
        """Count the states that are held now: a prefix stands for its state, wherever it is."""
        prefixes = {branch.prefix for branch in branches}
        walking = sum((self.group, prefix) not in self.kept for prefix in prefixes)
        self.tally.holds(walking + len(self.kept))

    def _starts(self, rows: Sequence[int]) -> list[tuple[int, Branch]]:
        """The depth and branch that each row begins with: the deepest state kept, or none."""
        begins: dict[Prefix, list[int]] = {}
        for row in rows:
            prefix = self.kept.deepest(self.group, kept_units(self.patterns[row]))
            begins.setdefault(prefix, []).append(row)
        return [
            (prefix[-1] + 1 if prefix else 0, Branch(tuple(some), prefix, self._state(prefix)))
            for prefix, some in begins.items()
        ]

    def _state(self, prefix: Prefix) -> torch.Tensor:
        """The hidden state after these blocks alone."""
        if not prefix:
            return self.entrance.hidden
        hidden = self.kept.get(self.group, prefix)
        if hidden is None:
            # Paid for by the process that was interrupted: nothing is counted again.
            hidden = self.entrance.hidden
            for depth in prefix:
                hidden = self.entrance.calls[depth](self.anatomy.blocks[depth], hidden)
            self.kept.put(self.group, prefix, hidden)
        return hidden

    def _parted(self, branch: Branch, depth: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The rows that keep the block at `depth` and those that drop it."""
        keeping = tuple(row for row in branch.rows if self.patterns[row][depth])
        dropping = tuple(row for row in branch.rows if not self.patterns[row][depth])
        if keeping and dropping and branch.prefix:
            self.kept.put(self.group, branch.prefix, branch.hidden)
        return keeping, dropping
