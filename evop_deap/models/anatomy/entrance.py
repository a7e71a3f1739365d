"""The computation before a model's first block, and its calls of each block."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.models.anatomy.devices import device_of, devices_of, moved_to
from evop_deap.models.anatomy.parts import Anatomy, Block
from evop_deap.models.anatomy.probe import first_tensor, hidden_input, hidden_key
from evop_deap.models.anatomy.replaced_forward import block_output, replaced_forward

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)
class BlockCall:
    """The model's call of a block: all arguments except the hidden state, which goes to `key`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: int | str

    def __call__(self, block: Block, hidden: torch.Tensor) -> torch.Tensor:
        """Return the block's output hidden state: (rows, length, width)."""
        args, kwargs = list(self.args), self.kwargs
        if isinstance(self.key, int):
            args[self.key] = hidden
        else:
            kwargs = {**kwargs, self.key: hidden}
        output = first_tensor(block.module(*args, **kwargs))
        assert output is not None
        return output


@dataclass(frozen=True, eq=False)
class Entrance:
    """The result of the model before its first block.

    Attributes:
        hidden: (rows, length, width) input of the first block.
        calls: the call of each block for token ids of this shape, with the masks, rotary
            embeddings and other arguments that the model made.
    """

    hidden: torch.Tensor
    calls: tuple[BlockCall, ...]


def enter(
    model: PreTrainedModel, anatomy: Anatomy, tokens: torch.Tensor, **others: torch.Tensor
) -> Entrance:
    """Run the model without its blocks, and record how it calls each block.

    Args:
        model: the dense model.
        anatomy: its blocks.
        tokens: (rows, length) token ids.
        others: further arguments of the model, such as `position_ids`.
    """
    calls: list[BlockCall] = []
    entered: list[torch.Tensor] = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        key, hidden = hidden_key(args, kwargs), hidden_input(args, kwargs)
        assert key is not None
        assert hidden is not None
        entered.append(hidden)
        if isinstance(key, int):
            args = (*args[:key], None, *args[key + 1 :])
        else:
            kwargs = {name: value for name, value in kwargs.items() if name != key}
        calls.append(BlockCall(args, kwargs, key))
        if len(calls) == len(anatomy.blocks):
            raise _AllCalled
        return block_output(hidden, anatomy.output_items)

    everywhere = {block.module: forward for block in anatomy.blocks}
    with replaced_forward(everywhere), suppress(_AllCalled):
        model(input_ids=tokens, **others, use_cache=False)
    return Entrance(entered[0], _at_their_blocks(calls, anatomy))


def _at_their_blocks(calls: list[BlockCall], anatomy: Anatomy) -> tuple[BlockCall, ...]:
    """Move the arguments of calls to the devices of their blocks, once for all states."""
    if len(devices_of(anatomy)) < 2:
        return tuple(calls)
    moved = []
    for call, block in zip(calls, anatomy.blocks, strict=True):
        args, kwargs = moved_to(device_of(block.module), (call.args, call.kwargs))
        moved.append(BlockCall(args, kwargs, call.key))
    return tuple(moved)


class _AllCalled(Exception):
    """Raised when every block has been called, to stop the forward pass."""
