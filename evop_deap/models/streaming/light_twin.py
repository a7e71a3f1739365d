"""A model in memory that is built like a streamed one, with the weights of a few of its blocks.

Whether a model decodes with a cache depends on how it is built, and not on its weights. The check
takes many passes over single tokens, and each would read all weights of a streamed model.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.models.loading.precision import without_weights
from evop_deap.models.loading.put_together import whole
from evop_deap.models.streaming.streamed_weights import StreamedWeights, weights_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def light_twin(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model of the same configuration in which equal blocks share the first one's weights.

    Blocks are equal if their tensors have the same names and shapes. The twin computes in float32
    and holds its blocks in it, because widening them for every token takes longer than the token.
    A model whose weights are in memory is returned itself.
    """
    weights = weights_of(model)
    if weights is None:
        return model
    twin: Any = without_weights(model, model.dtype)
    twin.load_state_dict(_state(model), strict=True, assign=True)
    twin.tie_weights()
    twin.generation_config = copy.deepcopy(model.generation_config)
    StreamedWeights(twin, torch.float32, weights.device)
    made: PreTrainedModel = twin.eval()
    return made


def _state(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the state of the twin: of each kind of block one copy."""
    state: dict[str, torch.Tensor] = model.state_dict()
    count = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    for path, blocks in model.named_modules():
        if not isinstance(blocks, nn.ModuleList) or len(blocks) != count:
            continue
        kinds: dict[tuple[Any, ...], dict[str, torch.Tensor]] = {}
        for index, block in enumerate(blocks):
            own = block.state_dict()
            kind = tuple((name, tensor.shape) for name, tensor in own.items())
            if kind not in kinds:
                kinds[kind] = {name: _copied(whole(tensor)) for name, tensor in own.items()}
            state |= {f"{path}.{index}.{name}": tensor for name, tensor in kinds[kind].items()}
    return state


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
