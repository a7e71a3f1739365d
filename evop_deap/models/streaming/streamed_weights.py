"""The weights of a model in their files, and its blocks in memory one after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from evop_deap.models.anatomy.parts import Block
from evop_deap.models.loading.called_weights import replaced_when_called
from evop_deap.models.loading.freed_memory import return_freed_memory
from evop_deap.models.loading.mapped_pages import MappedPages, let_go_from_now_on
from evop_deap.models.loading.precision import compute_in_float32
from evop_deap.models.loading.put_together import has_stand_ins, whole
from evop_deap.models.loading.spread import run_on
from evop_deap.models.streaming.ends import read_in_tiles, read_rows_alone
from evop_deap.models.streaming.plain_transfers import Copying, InPlace
from evop_deap.models.streaming.read_ahead import Reading, read_ahead
from evop_deap.models.streaming.transfer import HOST, Transfer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_STREAMED: WeakKeyDictionary[nn.Module, StreamedWeights] = WeakKeyDictionary()


def stream_like(model: PreTrainedModel, other: PreTrainedModel) -> None:
    """Stream the weights of another model, if those of `model` are streamed."""
    weights = weights_of(model)
    if weights is not None:
        StreamedWeights(other, weights.dtype, weights.device)


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
        device: where the model computes from now on. Its weights stay on the host, and come to
            another device when they are used.
    """

    def __init__(
        self, model: PreTrainedModel, dtype: torch.dtype, device: torch.device = HOST
    ) -> None:
        self.dtype, self.device = dtype, device
        self.reading = Reading()
        return_freed_memory()
        self._pages = MappedPages()
        let_go_from_now_on(model, self._pages)
        self._transfer = _transfer_to(device, None if dtype is model.dtype else dtype, self._pages)
        self._is_passing = False
        parts: Any = model
        read_rows_alone(parts.get_input_embeddings(), dtype, device, self._pages)
        read_in_tiles(parts.get_output_embeddings(), self)
        if device != HOST:
            run_on(model, device)
        if device != HOST or has_stand_ins(model):
            replaced_when_called(model, lambda weight: whole(weight).to(device))
        if dtype is not model.dtype:
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
            for block, sent in read_ahead(blocks, self._read, self.reading):
                with _replaced(list(block.module.parameters()), sent):
                    yield block
                self._transfer.release(sent)
                del sent
        finally:
            self._is_passing = False
            self._transfer.end()

    def tiles(self, matrix: torch.Tensor, rows: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the rows of a stored matrix in parts, with the number of the first row of each.

        A part is used no more when the next one is asked for.

        Args:
            matrix: a matrix in a file.
            rows: number of rows of a part.
        """

        def read(first: int) -> Sequence[torch.Tensor]:
            return self._sent([matrix[first : first + rows]])

        try:
            for first, sent in read_ahead(range(0, len(matrix), rows), read, self.reading):
                yield first, sent[0]
                self._transfer.release(sent)
                del sent
        finally:
            self._transfer.end()

    def let_go(self, module: nn.Module) -> None:
        """Let go of the memory of a module's weights."""
        for weight in module.parameters():
            self._pages.let_go(weight.data)

    def _read(self, block: Block) -> Sequence[torch.Tensor]:
        """Send the weights of a block to the device."""
        return self._sent([weight.data for weight in block.module.parameters()])

    def _sent(self, stored: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        self.reading.bytes += sum(tensor.nbytes for tensor in stored)
        return self._transfer.send([whole(tensor) for tensor in stored])

    def _returned(self, module: nn.Module, *_: Any) -> None:
        if not self._is_passing:
            self.let_go(module)


def _transfer_to(device: torch.device, dtype: torch.dtype | None, pages: MappedPages) -> Transfer:
    """Return the transfer to a device.

    Args:
        device: where the model computes.
        dtype: the dtype that it computes in; None for that in the file.
        pages: the memory that is mapped from the files.
    """
    if device.type == "cuda":
        from evop_deap.models.streaming.cuda_transfer import CudaTransfer

        return CudaTransfer(device, dtype, pages)
    if device == HOST and dtype is None:
        return InPlace(pages)
    return Copying(device, dtype, pages)


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
