"""The steps of a model: runs of blocks, or of parts of blocks.

A pattern takes some of a model's steps, in order. Its hidden state depends only on the steps
taken, so patterns that begin with the same steps share their computation.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from evop_deap.models.anatomy.entrance import BlockCall
from evop_deap.models.anatomy.parts import Anatomy, Block, Part, silenced
from evop_deap.space import Pattern


@dataclass(frozen=True, eq=False)
class Step:
    """A run of a block, or of some of its parts.

    Attributes:
        block: the block.
        silent: parts of it that are bypassed.
        work: multiply-adds per token.
    """

    block: Block
    silent: tuple[Part, ...]
    work: int

    def run(self, calls: Sequence[BlockCall], hidden: torch.Tensor) -> torch.Tensor:
        """Return the hidden state after the step: (rows, length, width).

        Args:
            calls: the calls of all blocks.
            hidden: (rows, length, width) hidden state before the step.
        """
        call = calls[self.block.index]
        if not self.silent:
            return call(self.block, hidden)
        with silenced(self.silent):
            return call(self.block, hidden)


@dataclass(frozen=True, eq=False)
class Turn:
    """Parts of a block that run in parallel, so that one run of the block computes all kept ones.

    It has one step for each set of its parts that may be kept. A set is an integer whose bit i
    is the i-th part. The empty set is a step only if the rest of the block runs without them.

    Attributes:
        first: index of its first step among all steps of the model.
        parts: its parts by gene.
        others: parts of the block that have another turn.
    """

    first: int
    parts: Mapping[int, Part]
    others: tuple[Part, ...]

    @property
    def least(self) -> int:
        """The smallest set that is a step: 1 if the empty set is none, else 0."""
        return int(all(part.is_whole for part in self.parts.values()))

    @property
    def end(self) -> int:
        """The index after its last step."""
        return self.first + (1 << len(self.parts)) - self.least

    def taken(self, pattern: Pattern) -> tuple[int, ...]:
        """Return the index of the step that a pattern takes here; () if it takes none."""
        kept = sum(1 << bit for bit, gene in enumerate(self.parts) if pattern[gene])
        return (self.first + kept - self.least,) if kept >= self.least else ()

    def step(self, place: int) -> Step:
        """Return the step at an index."""
        kept = place - self.first + self.least
        parts = tuple(self.parts.values())
        silent = tuple(part for bit, part in enumerate(parts) if not kept >> bit & 1)
        work = sum(part.unit.work for part in parts if part not in silent)
        block = parts[0].block
        if not self.least:
            work += block.work - sum(part.unit.work for part in (*parts, *self.others))
        return Step(block, (*silent, *self.others), work)


@dataclass(frozen=True, eq=False)
class Steps:
    """All steps of a model, indexed in the order of depth."""

    turns: tuple[Turn, ...]

    def __getitem__(self, index: int) -> Step:
        return self.turns[self.place(index)].step(index)

    def place(self, index: int) -> int:
        """Return the position of the turn that has a step."""
        return bisect_right(self.turns, index, key=lambda turn: turn.first) - 1

    def taken(self, pattern: Pattern) -> tuple[int, ...]:
        """Return the indices of the steps that a pattern takes, ascending."""
        return tuple(place for turn in self.turns for place in turn.taken(pattern))


def steps_of(anatomy: Anatomy) -> Steps:
    """Return the steps of a model at the granularity of its anatomy."""
    turns: list[Turn] = []
    genes = enumerate(anatomy.parts)
    for (block, _), side_by_side in itertools.groupby(genes, key=lambda gene: _turn(gene[1])):
        parts = dict(side_by_side)
        others = tuple(part for part in anatomy.parts_of(block) if part not in parts.values())
        turns.append(Turn(turns[-1].end if turns else 0, parts, others))
    return Steps(tuple(turns))


def _turn(part: Part) -> tuple[Block, int]:
    return part.block, part.turn
