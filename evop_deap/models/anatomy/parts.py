"""The blocks of a model, and the parts that genes switch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from evop_deap.models.anatomy.replaced_forward import pass_through, replaced_forward
from evop_deap.space import Unit
from evop_deap.space.unit_names import BLOCK, SUBLAYERS, granularity_of, unit_name


@dataclass(frozen=True, eq=False)
class Block:
    """One decoder layer.

    Args:
        index: Position in the dense model.
        name: Module path, such as "model.layers.12".
        module: The layer itself.
        attention: Direct children with matrices that mix tokens.
        mlp: The other direct children with matrices; both are empty if the sublayers cannot be
            told apart.
        parameters: Number of elements of all its parameters.
        work: Multiply-adds per token: the elements of its matrices, and of experts only the share
            that one token is routed to.
    """

    index: int
    name: str
    module: nn.Module
    attention: tuple[nn.Module, ...]
    mlp: tuple[nn.Module, ...]
    parameters: int
    work: int


@dataclass(frozen=True, eq=False)
class Part:
    """What one gene switches: a block, or a part of one.

    Args:
        unit: Its name, kind and size.
        block: The block that it is, or is in.
        turn: Its position in the order of execution in its block, from 0. Parts with the same
            turn run in parallel: they read the same hidden state.
        modules: Modules that hold its matrices.
        norms: Direct children of the block that act only on this part.
        bypass: Returns a context in which the hidden state passes the part unchanged.
        cache_share: Share of the block's key-value cache that it holds, 0 or 1.
    """

    unit: Unit
    block: Block
    turn: int
    modules: tuple[nn.Module, ...]
    norms: tuple[nn.Module, ...]
    bypass: Callable[[], AbstractContextManager[None]]
    cache_share: int

    @property
    def name(self) -> str:
        """The name of its unit."""
        return self.unit.name

    @property
    def is_whole(self) -> bool:
        """Whether it is a block or a sublayer, so that nothing runs in its place when dropped."""
        return self.unit.kind in (BLOCK, *SUBLAYERS)

    @property
    def children(self) -> set[str]:
        """Names of the block's direct children that belong to it."""
        own = {*self.modules, *self.norms}
        return {name for name, child in self.block.module.named_children() if child in own}

    @property
    def weights(self) -> set[nn.Parameter]:
        """The weights that are unused if it is dropped."""
        return {p for module in (*self.modules, *self.norms) for p in module.parameters()}


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The blocks of a model, its parts, and the modules after the last block.

    Args:
        path: Module path of the list of blocks, such as "model.layers".
        blocks: The decoder layers in the order in which they run.
        norm: The module that takes the last block's output; None if the head does.
        head: The output embeddings.
        head_work: Multiply-adds per token of the head.
        output_items: Number of items in the tuple that a block returns, hidden state first; 0 if
            it returns the hidden state itself.
        parts: What each gene switches, in the order of genes, those of a block together.
    """

    path: str
    blocks: tuple[Block, ...]
    norm: nn.Module | None
    head: nn.Module
    head_work: int
    output_items: int
    parts: tuple[Part, ...] = ()

    @property
    def granularity(self) -> str:
        """What one gene switches: "block" or "half"."""
        return granularity_of(part.name for part in self.parts)

    @property
    def dense_work(self) -> int:
        """Multiply-adds per token of a pass of the dense model, head included."""
        return sum(block.work for block in self.blocks) + self.head_work

    @property
    def of_blocks(self) -> Anatomy:
        """The anatomy of the same model in which each gene switches a block."""
        parts = tuple(_whole(block, self.output_items) for block in self.blocks)
        return replace(self, parts=parts)

    def parts_of(self, block: Block) -> tuple[Part, ...]:
        """Return the parts of one block, in the order of genes."""
        return tuple(part for part in self.parts if part.block is block)

    def part(self, name: str) -> Part:
        """Return the part with this name."""
        return next(part for part in self.parts if part.name == name)


def _whole(block: Block, output_items: int) -> Part:
    return Part(
        unit=Unit(unit_name(block.index), block.parameters, block.work),
        block=block,
        turn=0,
        modules=(block.module,),
        norms=(),
        bypass=partial(replaced_forward, {block.module: pass_through(output_items)}),
        cache_share=1,
    )


@contextmanager
def silenced(parts: Iterable[Part]) -> Iterator[None]:
    """In this context, the hidden state passes these parts unchanged. May be nested."""
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(part.bypass())
        yield
