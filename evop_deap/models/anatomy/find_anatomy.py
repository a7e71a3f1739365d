"""Search for the parts of a decoder-only language model by observing a short run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.models.anatomy.block_chain import find_chain
from evop_deap.models.anatomy.block_children import find_children
from evop_deap.models.anatomy.element_counts import elements
from evop_deap.models.anatomy.halves import find_halves
from evop_deap.models.anatomy.matrix_work import expert_share, matrix_work
from evop_deap.models.anatomy.parts import Anatomy, Block, Part
from evop_deap.models.anatomy.probe import (
    embedding_table,
    nearly_equal,
    probe_tokens,
    run_forward,
)
from evop_deap.models.anatomy.quantisation import each_token_alone

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PARTS: dict[str, Callable[[PreTrainedModel, Anatomy], tuple[Part, ...]]] = {
    "block": lambda model, anatomy: anatomy.parts,
    "half": find_halves,
}
"""By granularity, the function that finds the parts of a model with known blocks."""


def find_anatomy(model: PreTrainedModel, granularity: str = "block") -> Anatomy:
    """Find blocks, their parts, final norm and head by running a few tokens.

    The blocks are the children of a module list that run once each, in order. Each takes exactly
    the tensor that its predecessor returned. The model is left in evaluation mode.

    Args:
        model: A causal language model.
        granularity: What one gene switches: "block", or "half" for a block's attention or MLP.

    Raises:
        InputError: there is no such granularity.
        UnsupportedModelError: the model is not a decoder-only causal language model, its blocks
            are not a plain chain, or their halves cannot be switched. The message has the reason.
    """
    if granularity not in _PARTS:
        known = " or ".join(f"'{name}'" for name in _PARTS)
        raise InputError(f"`granularity` must be {known}, but got '{granularity}'")
    with each_token_alone(model):
        return _found(model, granularity)


def _found(model: PreTrainedModel, granularity: str) -> Anatomy:
    name = type(model).__name__
    if model.config.is_encoder_decoder:
        raise UnsupportedModelError(
            f"{name} is an encoder-decoder model; only decoder-only causal models can be pruned"
        )
    parts: Any = model
    head = parts.get_output_embeddings()
    if head is None:
        raise UnsupportedModelError(
            f"{name} has no output embeddings; load it with a language-modelling head"
        )
    parts.eval()
    _check_causal(model)
    path, trace = find_chain(model)
    chain = list(model.get_submodule(path).children())
    children = find_children(model, chain)
    share = expert_share(model.config.get_text_config(decoder=True))
    blocks = tuple(
        Block(
            index=index,
            name=f"{path}.{index}",
            module=module,
            attention=attention,
            mlp=mlp,
            parameters=elements(module),
            work=matrix_work(module, share),
        )
        for index, (module, (attention, mlp)) in enumerate(zip(chain, children, strict=True))
    )
    norm = trace.successor
    anatomy = Anatomy(
        path=path,
        blocks=blocks,
        norm=None if norm is head else norm,
        head=head,
        head_work=matrix_work(head, (0, 1.0)),
        output_items=0 if isinstance(trace.output, torch.Tensor) else len(trace.output),
    ).of_blocks
    return replace(anatomy, parts=_PARTS[granularity](model, anatomy))


def _check_causal(model: PreTrainedModel) -> None:
    """Refuse a model whose predictions depend on later tokens."""
    ids = probe_tokens(model)
    changed = ids.clone()
    changed[0, -1] = (changed[0, -1] + 1) % embedding_table(model).shape[0]
    before, after = run_forward(model, ids), run_forward(model, changed)
    if not nearly_equal(before[:, :-1], after[:, :-1]):
        raise UnsupportedModelError(
            f"{type(model).__name__} is not a causal language model: its prediction at a position"
            " depends on later tokens"
        )
