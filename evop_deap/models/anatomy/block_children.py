"""Search for the children of a block that mix tokens, and for those that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.models.anatomy.element_counts import weights
from evop_deap.models.anatomy.probe import (
    PROBE_TOKENS,
    first_tensor,
    hidden_key,
    nearly_equal,
    probe_tokens,
    removable_hooks,
    run_forward,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Children = tuple[tuple[nn.Module, ...], tuple[nn.Module, ...]]


def find_children(model: PreTrainedModel, chain: Sequence[nn.Module]) -> list[Children]:
    """Return for each block its children that mix tokens, and its other children with matrices."""
    mixes: dict[nn.Module, bool | None] = {}

    def after(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        mixes[module] = _mixes_tokens(module.forward, args, kwargs, output)

    children = [[c for c in block.children() if _has_matrix(c)] for block in chain]
    with removable_hooks() as handles, torch.no_grad():
        for block_children in children:
            for child in block_children:
                handles.append(child.register_forward_hook(after, with_kwargs=True))
        run_forward(model, probe_tokens(model))
    return [_split(block_children, mixes) for block_children in children]


def _split(children: Sequence[nn.Module], mixes: Mapping[nn.Module, bool | None]) -> Children:
    mixing = [mixes.get(child) for child in children]
    # One uncertain child makes both halves uncertain, because it may belong to either.
    if None in mixing:
        return (), ()
    attention = tuple(child for child, mixed in zip(children, mixing, strict=True) if mixed)
    mlp = tuple(child for child, mixed in zip(children, mixing, strict=True) if not mixed)
    return attention, mlp


def _mixes_tokens(
    forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
) -> bool | None:
    """Return whether another first token changes the output for later ones; None if unknown."""
    key = hidden_key(args, kwargs)
    before = first_tensor(output)
    if key is None or before is None:
        return None
    hidden: torch.Tensor = args[key] if isinstance(key, int) else kwargs[key]
    if hidden.shape[-2] != PROBE_TOKENS or before.shape[-2] != PROBE_TOKENS:
        return None
    changed = hidden.clone()
    # Another direction with the same norm, so that the module's values stay in their usual range.
    changed[..., 0, :] = -hidden[..., 0, :].roll(1, dims=-1)
    if isinstance(key, int):
        again = forward(*args[:key], changed, *args[key + 1 :], **kwargs)
    else:
        again = forward(*args, **{**kwargs, key: changed})
    after = first_tensor(again)
    if after is None:
        return None
    return not nearly_equal(before[..., 1:, :], after[..., 1:, :])


def _has_matrix(module: nn.Module) -> bool:
    return any(dimensions >= 2 for _, _, dimensions in weights(module))
