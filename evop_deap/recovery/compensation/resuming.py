"""The rest of a forward pass: the logits that follow from the hidden state behind a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.models.anatomy.replaced_forward import block_output, replaced_forward

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.entrance import BlockCall
    from evop_deap.models.anatomy.parts import Anatomy, Block


@dataclass(frozen=True, eq=False)
class Sample:
    """One window of text at some depth of the pruned model.

    Attributes:
        tokens: (1, length) token ids.
        calls: how the model calls its blocks on them.
        hidden: (1, length, width) state of the pruned model.
    """

    tokens: torch.Tensor
    calls: Sequence[BlockCall]
    hidden: torch.Tensor


def logits_behind(
    model: PreTrainedModel,
    anatomy: Anatomy,
    block: Block,
    hidden: torch.Tensor,
    tokens: torch.Tensor,
) -> torch.Tensor:
    """Return the logits for a given hidden state behind a block: (rows, length, vocabulary).

    The model computes them itself, so nothing has to be known of what comes after its blocks.

    Args:
        model: the model, whose later blocks run as they are.
        anatomy: its anatomy.
        block: the block.
        hidden: (rows, length, width) hidden state behind it.
        tokens: (rows, length) token ids.
    """

    def forward(*args: Any, **kwargs: Any) -> Any:
        return block_output(hidden, anatomy.output_items)

    done = {one.module: forward for one in anatomy.blocks[: block.index + 1]}
    with replaced_forward(done):
        logits: torch.Tensor = model(input_ids=tokens, use_cache=False).logits
    return logits
