"""What a model does before its first block, and how it calls each block."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.models.anatomy.parts import Anatomy, Block
from evop_deap.models.anatomy.probe import first_tensor, hidden_input, hidden_key
from evop_deap.models.anatomy.replaced_forward import block_output, replaced_forward

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)
class BlockCall:
    """How the model calls a block: all arguments but the hidden state, whose place is `key`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: int | str

    def __call__(self, block: Block, hidden: torch.Tensor) -> torch.Tensor:
        """The block's output hidden state: (rows, length, width)."""
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
    """What the model does with token ids before its first block.

    Attributes:
        hidden: (rows, length, width) hidden state that the first block is given.
        calls: how each block is called for token ids of this shape: masks, rotary embeddings
            and whatever else the model makes, taken from the model itself.
    """

    hidden: torch.Tensor
    calls: tuple[BlockCall, ...]


def enter(model: PreTrainedModel, anatomy: Anatomy, tokens: torch.Tensor) -> Entrance:
    """Run the model up to its first block and note how it would call each one.

    Args:
        model: the dense model.
        anatomy: its blocks.
        tokens: (rows, length) token ids.
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
        model(input_ids=tokens, use_cache=False)
    return Entrance(entered[0], tuple(calls))


class _AllCalled(Exception):
    """Every block has been called: the rest of the forward pass is of no use."""
