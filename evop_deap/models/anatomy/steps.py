"""What the genes that are kept make a model do: runs of blocks, or of their halves.

A step is one such run. A pattern takes some of a model's steps, in order, and its hidden state
depends on the steps taken alone: patterns that begin with the same steps share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from evop_deap.models.anatomy.halves import Half, silenced
from evop_deap.models.anatomy.staged import BlockCall
from evop_deap.space import Pattern, kept_units

if TYPE_CHECKING:
    from evop_deap.models.anatomy.find_anatomy import Anatomy, Block


@dataclass(frozen=True, eq=False)
class Step:
    """A run of a block, or of a half of it.

    Attributes:
        block: the block.
        silent: halves of it that do not run.
        work: multiply-adds a token.
    """

    block: Block
    silent: tuple[Half, ...]
    work: int

    def run(self, calls: Sequence[BlockCall], hidden: torch.Tensor) -> torch.Tensor:
        """The hidden state after the step: (rows, length, width); `calls` of all blocks."""
        call = calls[self.block.index]
        if not self.silent:
            return call(self.block, hidden)
        with silenced(self.silent):
            return call(self.block, hidden)


@dataclass(frozen=True, eq=False)
class Steps:
    """All steps of a model in the order of depth, and which of them a pattern takes.

    Attributes:
        all: the steps. Of a block whose halves stand side by side there are three, of which a
            pattern takes one: attention alone, MLP alone, both.
        first: (blocks,) place of each block's first step.
        parallel: (blocks,) whether a block's halves stand side by side.
    """

    all: tuple[Step, ...]
    first: tuple[int, ...]
    parallel: tuple[bool, ...]

    def taken(self, pattern: Pattern) -> tuple[int, ...]:
        """Places of the steps that a pattern takes, ascending."""
        if len(pattern) == len(self.first):
            return kept_units(pattern)
        taken: list[int] = []
        for block, (first, parallel) in enumerate(zip(self.first, self.parallel, strict=True)):
            attention, mlp = pattern[2 * block : 2 * block + 2]
            if parallel and attention and mlp:
                taken.append(first + 2)
            else:
                taken += [first] * attention + [first + 1] * mlp
        return tuple(taken)


def steps_of(anatomy: Anatomy) -> Steps:
    """The steps of a model at the granularity of its anatomy."""
    if not anatomy.halves:
        steps = tuple(Step(block, (), block.work) for block in anatomy.blocks)
        return Steps(steps, tuple(range(len(steps))), (False,) * len(steps))
    all_steps: list[Step] = []
    first: list[int] = []
    for block, halves in zip(anatomy.blocks, anatomy.halves, strict=True):
        first.append(len(all_steps))
        attention, mlp = halves.attention, halves.mlp
        all_steps += [Step(block, (mlp,), attention.work), Step(block, (attention,), mlp.work)]
        if not halves.sequential:
            all_steps.append(Step(block, (), block.work))
    parallel = tuple(not halves.sequential for halves in anatomy.halves)
    return Steps(tuple(all_steps), tuple(first), parallel)
