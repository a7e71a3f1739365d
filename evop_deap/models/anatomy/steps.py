"""What the genes that are kept make a model do: runs of blocks, or of parts of them.

A step is one such run. A pattern takes some of a model's steps, in order, and its hidden state
depends on the steps taken alone: patterns that begin with the same steps share them.
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
        silent: parts of it that do not run.
        work: multiply-adds a token.
    """

    block: Block
    silent: tuple[Part, ...]
    work: int

    def run(self, calls: Sequence[BlockCall], hidden: torch.Tensor) -> torch.Tensor:
        """The hidden state after the step: (rows, length, width); `calls` of all blocks."""
        call = calls[self.block.index]
        if not self.silent:
            return call(self.block, hidden)
        with silenced(self.silent):
            return call(self.block, hidden)


@dataclass(frozen=True, eq=False)
class Turn:
    """Parts of a block that stand side by side: one run of the block does all that are kept.

    It has one step for each set of its parts that may be kept. A set is a number whose bit i is
    the i-th part; no part kept is a step only where the rest of the block runs without them.

    Attributes:
        first: place of its first step among all steps of the model.
        parts: what runs, by its gene.
        others: parts of the block that have another turn.
    """

    first: int
    parts: Mapping[int, Part]
    others: tuple[Part, ...]

    @property
    def least(self) -> int:
        """The first set that is a step."""
        return int(all(part.is_whole for part in self.parts.values()))

    @property
    def end(self) -> int:
        """The place behind its last step."""
        return self.first + (1 << len(self.parts)) - self.least

    def taken(self, pattern: Pattern) -> tuple[int, ...]:
        """The place of the step that a pattern takes here; nothing where it takes none."""
        kept = sum(1 << bit for bit, gene in enumerate(self.parts) if pattern[gene])
        return (self.first + kept - self.least,) if kept >= self.least else ()

    def step(self, place: int) -> Step:
        """The step at one of its places."""
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
    """All steps of a model, told by their places in the order of depth."""

    turns: tuple[Turn, ...]

    def __getitem__(self, place: int) -> Step:
        turn = self.turns[bisect_right(self.turns, place, key=lambda turn: turn.first) - 1]
        return turn.step(place)

    def taken(self, pattern: Pattern) -> tuple[int, ...]:
        """Places of the steps that a pattern takes, ascending."""
        return tuple(place for turn in self.turns for place in turn.taken(pattern))


def steps_of(anatomy: Anatomy) -> Steps:
    """The steps of a model at the granularity of its anatomy."""
    turns: list[Turn] = []
    genes = enumerate(anatomy.parts)
    for (block, _), side_by_side in itertools.groupby(genes, key=lambda gene: _turn(gene[1])):
        parts = dict(side_by_side)
        others = tuple(part for part in anatomy.parts_of(block) if part not in parts.values())
        turns.append(Turn(turns[-1].end if turns else 0, parts, others))
    return Steps(tuple(turns))


def _turn(part: Part) -> tuple[Block, int]:
    return part.block, part.turn
