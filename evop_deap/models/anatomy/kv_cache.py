"""The size of each block's key-value cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.probe import probe_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Growth:
    """The growth of a block's keys and values with the number of tokens.

    Attributes:
        per_token: bytes that every token adds; None if the block has no such cache.
        window: number of tokens after which the cache stops growing; None for no limit.
    """

    per_token: int | None = None
    window: int | None = None


def cache_growth(model: PreTrainedModel, anatomy: Anatomy) -> tuple[Growth, ...]:
    """Return the growth of every block, measured on a few tokens."""
    layers = _layers(model)
    return tuple(
        _growth(layers[block.index]) if block.index < len(layers) else Growth()
        for block in anatomy.blocks
    )


def kv_cache_bytes(
    model: PreTrainedModel, anatomy: Anatomy, context: int | None
) -> tuple[int, ...]:
    """Return the bytes of keys and values in each block for one text of `context` tokens.

    Args:
        model: the dense model.
        anatomy: its blocks.
        context: number of tokens; None for one token.

    Raises:
        UnsupportedModelError: no block keeps keys and values.
    """
    growths, length = cache_growth(model, anatomy), context or 1
    if all(growth.per_token is None for growth in growths):
        raise UnsupportedModelError(
            f"{type(model).__name__} keeps no keys and values: give another `budget` than kv"
        )
    return tuple((g.per_token or 0) * min(g.window or length, length) for g in growths)


def _layers(model: PreTrainedModel) -> Sequence[Any]:
    """Return the cache of each layer after a few tokens; () if the model has no such cache."""
    parts: Any = model
    try:
        with torch.no_grad():
            cache = parts(input_ids=probe_tokens(model), use_cache=True).past_key_values
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return ()
    layers: Sequence[Any] = getattr(cache, "layers", ())
    return layers


def _growth(layer: Any) -> Growth:
    kept = [getattr(layer, name, None) for name in ("keys", "values")]
    each = [t for t in kept if isinstance(t, torch.Tensor) and t.ndim == 4 and t.numel()]
    if len(each) < len(kept):
        return Growth()
    # (1, heads, tokens, width)
    per_token = sum(t.numel() * t.element_size() // (t.shape[0] * t.shape[2]) for t in each)
    window = getattr(layer, "sliding_window", None)
    return Growth(per_token, window if isinstance(window, int) else None)
