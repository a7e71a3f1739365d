"""Walks of a population through the model, in which each distinct (prefix, step) runs once.

A walk yields every pattern's last hidden state. Depth first, each branch is followed to its end
before the next one, which needs the least memory. Breadth first, all branches take a step, stacked
into few calls, before any branch takes the next step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.fitness.model.kept_states import KeptStates, Prefix
from evop_deap.models.anatomy.steps import Step, Steps

RunAll = Callable[[Step, Sequence[torch.Tensor]], list[torch.Tensor]]
"""(step, hidden states) -> the hidden states after the step."""
_END = sys.maxsize  # after the last step


@dataclass(frozen=True, eq=False)
class Branch:
    """Patterns that took the same steps so far, and their common hidden state."""

    rows: tuple[int, ...]
    prefix: Prefix
    hidden: torch.Tensor  # (windows, length, width)


@dataclass(eq=False)
class Tally:
    """Counts the work of one call of an evaluator. A row is the tokens of one
    window of text, or one token of questions.

    Attributes:
        spent: (patterns,) multiply-adds per token times rows, by the pattern that is charged.
        block_rows: rows processed by a block, or by a half of one.
        head_rows: rows processed by the head.
        walking: largest number of hidden states held at a time, without kept ones.
        states: the same, including kept ones.
    """

    spent: NDArray[np.float64]
    block_rows: int = 0
    head_rows: int = 0
    walking: int = 0
    states: int = 0

    def block(self, row: int, work: int, rows: int) -> None:
        """Count a run of a block over `rows` rows, charged to the pattern `row`."""
        self.spent[row] += work * rows
        self.block_rows += rows

    def heads(self, rows: Sequence[int], work: int, runs: int, count: int) -> None:
        """Count `runs` runs of the head over `count` rows, charged to the patterns `rows`."""
        for row in rows:
            self.spent[row] += work * count * runs / len(rows)
        self.head_rows += runs * count

    def holds(self, walking: int, kept: int) -> None:
        """Count the hidden states that are held now."""
        self.walking = max(self.walking, walking)
        self.states = max(self.states, walking + kept)

    def add(self, other: Tally) -> None:
        """Add the work of another call for the same patterns."""
        self.spent += other.spent
        self.block_rows += other.block_rows
        self.head_rows += other.head_rows
        self.walking = max(self.walking, other.walking)


@dataclass(frozen=True, eq=False)
class Walk:
    """A walk of a population on one group of windows.

    Attributes:
        steps: all steps of the model.
        routes: (patterns,) the steps that each pattern takes.
        group: number of the group of windows.
        size: rows of the group that blocks process.
        start: (rows, length, width) input of the first block on these windows.
        run: returns the hidden state after a step.
        kept: the hidden states to start from; states at which patterns diverge are added.
        tally: counts the work.
    """

    steps: Steps
    routes: Sequence[Prefix]
    group: int
    size: int
    start: torch.Tensor
    run: Callable[[Step, torch.Tensor], torch.Tensor]
    kept: KeptStates
    tally: Tally = field(repr=False)

    def depth_first(self, rows: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield each row and its last hidden state; at most one state waits at each depth."""
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
            hidden = self.run(step, branch.hidden)
            self.tally.block(taking[0], step.work, self.size)
            waiting.append(Branch(taking, (*branch.prefix, next_step), hidden))

    def breadth_first(
        self, rows: Sequence[int], run_all: RunAll
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield each row and its last hidden state; `run_all` runs a step from several."""
        branches = self._starts(rows)
        self._hold(branches)
        for place in sorted({place for row in rows for place in self.routes[row]}):
            parted = [(branch, *self._parted(branch, place)) for branch in branches]
            stepping = [(branch, taking) for branch, taking, _ in parted if taking]
            if not stepping:
                continue
            step = self.steps[place]
            outputs = run_all(step, [branch.hidden for branch, _ in stepping])
            branches = [
                Branch(passing, branch.prefix, branch.hidden)
                for branch, _, passing in parted
                if passing
            ]
            for (branch, taking), hidden in zip(stepping, outputs, strict=True):
                self.tally.block(taking[0], step.work, self.size)
                branches.append(Branch(taking, (*branch.prefix, place), hidden))
            self._hold([*branches, *(branch for branch, _ in stepping)])
        for branch in branches:
            yield from ((row, branch.hidden) for row in branch.rows)

    def _hold(self, branches: Iterable[Branch]) -> None:
        """Count the states held now; a state that is both kept and walking counts once."""
        prefixes = {branch.prefix for branch in branches}
        walking = sum((self.group, prefix) not in self.kept for prefix in prefixes)
        self.tally.holds(walking, len(self.kept))

    def _starts(self, rows: Sequence[int]) -> list[Branch]:
        """The initial branches: each row starts from its deepest kept state, or the entrance."""
        begins: dict[Prefix, list[int]] = {}
        for row in rows:
            prefix = self.kept.deepest(self.group, self.routes[row])
            begins.setdefault(prefix, []).append(row)
        return [Branch(tuple(some), prefix, self._state(prefix)) for prefix, some in begins.items()]

    def _state(self, prefix: Prefix) -> torch.Tensor:
        """The hidden state after the steps of `prefix`."""
        if not prefix:
            return self.start
        hidden = self.kept.get(self.group, prefix)
        if hidden is None:
            # The interrupted process has counted this work already.
            hidden = self.start
            for place in prefix:
                hidden = self.run(self.steps[place], hidden)
            self.kept.put(self.group, prefix, hidden)
        return hidden

    def _next(self, row: int, branch: Branch) -> int:
        """The next step of a row, or `_END`."""
        route, gone = self.routes[row], len(branch.prefix)
        return route[gone] if gone < len(route) else _END

    def _parted(self, branch: Branch, place: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Split the rows into those that take this step next and the others."""
        taking = tuple(row for row in branch.rows if self._next(row, branch) == place)
        passing = tuple(row for row in branch.rows if self._next(row, branch) != place)
        if taking and passing and branch.prefix:
            self.kept.put(self.group, branch.prefix, branch.hidden)
        return taking, passing
