"""What each block keeps in the key-value cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from evop_deap.errors import UnsupportedModelError
from evop_deap.models.probe import PROBE_TOKENS, probe_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy import Anatomy


def kv_cache_bytes(
    model: PreTrainedModel, anatomy: Anatomy, context: int | None
) -> tuple[int, ...]:
    """Bytes of keys and values that each block holds for one text of `context` tokens.

    A layer with a sliding window holds no more than its window.

    Args:
        model: the dense model.
        anatomy: its blocks.
        context: tokens; the model's own longest text, or None for one token.

    Raises:
        UnsupportedModelError: the model's cache is not one entry of keys and values a block.
    """
    with torch.inference_mode():
        cache: Any = model(input_ids=probe_tokens(model), use_cache=True).past_key_values
    layers = getattr(cache, "layers", [])
    if len(layers) != len(anatomy.blocks) or not all(
        isinstance(getattr(layer, part, None), torch.Tensor)
        for layer in layers
        for part in ("keys", "values")
    ):
        raise UnsupportedModelError(
            f"{type(model).__name__} keeps no keys and values for each of its blocks:"
            " give another `budget` than kv"
        )
    return tuple(_bytes(layer, context or 1) for layer in layers)


def _bytes(layer: Any, context: int) -> int:
    held = layer.keys.shape[-2]
    window = getattr(layer, "sliding_window", None) or context
    size: int = (layer.keys.nbytes + layer.values.nbytes) // min(held, PROBE_TOKENS)
    return size * min(window, context)
