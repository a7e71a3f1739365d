"""The weights of a model in their files, and its blocks in memory one after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from evop_deap.models.anatomy.parts import Block
from evop_deap.models.loading.freed_memory import return_freed_memory
from evop_deap.models.loading.mapped_pages import MappedPages, let_go_from_now_on
from evop_deap.models.loading.precision import compute_in_float32
from evop_deap.models.streaming.ends import read_in_tiles, read_rows_alone
from evop_deap.models.streaming.read_ahead import Reading, read_ahead

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_STREAMED: WeakKeyDictionary[nn.Module, StreamedWeights] = WeakKeyDictionary()


def stream_like(model: PreTrainedModel, other: PreTrainedModel) -> None:
    """Stream the weights of another model, if those of `model` are streamed."""
    weights = weights_of(model)
    if weights is not None:
        StreamedWeights(other, weights.dtype)


def weights_of(model: PreTrainedModel) -> StreamedWeights | None:
    """Return the streamed weights of a model; None if they are in memory."""
    return _STREAMED.get(model)


def passing(model: PreTrainedModel, blocks: Iterable[Block]) -> Generator[Block, None, None]:
    """Yield blocks whose weights are in memory until the next one is asked for."""
    weights = weights_of(model)
    yield from blocks if weights is None else weights.passing(blocks)


class StreamedWeights:
    """The weights of a model that was loaded as it is stored, so that they are mapped from files.

    The model runs as ever: a module's weights are read from the file when it is called, and let go
    when its block returns. `passing` holds whole blocks for as long as they are used.

    Args:
        model: a model on the CPU in the dtype that it is stored in; it is changed to compute in
            `dtype` from now on. Its weights must not be changed in place.
        dtype: the stored dtype, or float32.
    """

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.reading = Reading()
        return_freed_memory()
        self._pages = MappedPages()
        let_go_from_now_on(model, self._pages)
        self._unused: list[list[torch.Tensor]] = []
        self._is_passing = False
        self._stored = model.dtype
        parts: Any = model
        read_rows_alone(parts.get_input_embeddings(), dtype, self._pages)
        read_in_tiles(parts.get_output_embeddings(), self)
        if dtype is not self._stored:
            compute_in_float32(model)
        for module in _blocks_of(model):
            module.register_forward_hook(self._returned)
        _STREAMED[model] = self

    def passing(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield blocks whose weights are in memory until the next one is asked for.

        The next block is read meanwhile. Two blocks are in memory at most.
        """
        self._is_passing = True
        try:
            for block, tensors in read_ahead(blocks, self._read, self.reading):
                with _replaced(list(block.module.parameters()), tensors):
                    yield block
                if self.dtype is not self._stored:
                    self._unused.append(tensors)
                self.let_go(block.module)
        finally:
            self._is_passing = False
            self._unused.clear()

    def tiles(self, matrix: torch.Tensor, rows: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the rows of a stored matrix in parts, with the number of the first row of each.

        Args:
            matrix: a matrix in a file.
            rows: number of rows of a part.
        """

        def read(first: int) -> torch.Tensor:
            part = matrix[first : first + rows]
            self.reading.bytes += part.nbytes
            self._pages.read(part)
            return part.to(self.dtype)

        for first, part in read_ahead(range(0, len(matrix), rows), read, self.reading):
            yield first, part
            self._pages.let_go(matrix[first : first + rows])

    def let_go(self, module: nn.Module) -> None:
        """Let go of the memory of a module's weights."""
        for weight in module.parameters():
            self._pages.let_go(weight.data)

    def _read(self, block: Block) -> list[torch.Tensor]:
        """Return the weights of a block in the dtype that the model computes in."""
        stored = [weight.data for weight in block.module.parameters()]
        self.reading.bytes += sum(tensor.nbytes for tensor in stored)
        if self.dtype is self._stored:
            for tensor in stored:
                self._pages.read(tensor)
            return stored
        found = self._room_for(stored)
        for to, tensor in zip(found, stored, strict=True):
            to.copy_(tensor)
            self._pages.let_go(tensor)
        return found

    def _room_for(self, stored: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return memory for these tensors: that of an earlier block of the same shapes, if any."""
        unused, self._unused = self._unused, []
        for room in unused:
            if [tensor.shape for tensor in room] == [tensor.shape for tensor in stored]:
                return room
        return [torch.empty(tensor.shape, dtype=self.dtype) for tensor in stored]

    def _returned(self, module: nn.Module, *_: Any) -> None:
        if not self._is_passing:
            self.let_go(module)


def _blocks_of(model: PreTrainedModel) -> list[nn.Module]:
    """Return the members of all lists of modules, such as blocks and experts."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    return [block for blocks in lists for block in blocks]


@contextmanager
def _replaced(weights: Sequence[nn.Parameter], tensors: Sequence[torch.Tensor]) -> Iterator[None]:
    """In this context, weights have other tensors."""
    before = [weight.data for weight in weights]
    try:
        for weight, tensor in zip(weights, tensors, strict=True):
            weight.data = tensor
        yield
    finally:
        for weight, tensor in zip(weights, before, strict=True):
            weight.data = tensor
