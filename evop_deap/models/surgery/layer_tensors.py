"""The tensors of a model with fewer layers, taken from the blocks of the dense model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from evop_deap.models.anatomy.parts import Anatomy, Part
from evop_deap.models.surgery.packing import Layer, leftovers
from evop_deap.models.surgery.zeroing import output_parameters
from evop_deap.space.unit_names import ATTENTION, MLP, unit_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Tensors = dict[str, torch.Tensor]


def sources_of(layers: Sequence[Layer]) -> tuple[list[int], list[int]]:
    """Return the source blocks of attentions and MLPs; an unused half comes from the other's."""
    attention = [layer.mlp if layer.attention is None else layer.attention for layer in layers]
    mlp = [layer.attention if layer.mlp is None else layer.mlp for layer in layers]
    return [i for i in attention if i is not None], [i for i in mlp if i is not None]


def silent_halves(anatomy: Anatomy, layers: Sequence[Layer]) -> tuple[Part, ...]:
    """Return the halves of leftover layers that must have zero output."""
    alone = leftovers(layers)
    names = [
        *(unit_name(layer.mlp, ATTENTION) for layer in alone if layer.mlp is not None),
        *(unit_name(layer.attention, MLP) for layer in alone if layer.attention is not None),
    ]
    return tuple(map(anatomy.part, names))


def tensors_of(model: PreTrainedModel, anatomy: Anatomy, layers: Sequence[Layer]) -> Tensors:
    """Return the state of the new model: all outside the blocks, and the renumbered halves."""
    tensors, blocks = _by_block(model.state_dict(), anatomy)
    zeroed = output_parameters(model, silent_halves(anatomy, layers))
    for position, (layer, attention, mlp) in enumerate(
        zip(layers, *sources_of(layers), strict=True)
    ):
        state = dict(blocks[attention])
        if attention != mlp:
            # The attention's block is only its two halves, so all but the MLP is attention.
            own, new = (anatomy.part(unit_name(index, MLP)) for index in (attention, mlp))
            state = {key: t for key, t in state.items() if _child(key) not in own.children}
            state |= {key: t for key, t in blocks[mlp].items() if _child(key) in new.children}
        if not layer.is_whole:
            block = anatomy.blocks[attention].module
            silent = {n for n, p in block.named_parameters() if p in zeroed}
            state |= {n: torch.zeros_like(state[n]) for n in silent}
        tensors |= {f"{anatomy.path}.{position}.{key}": tensor for key, tensor in state.items()}
    return tensors


def _child(key: str) -> str:
    """Return the name of the direct child of its block that a tensor is in."""
    return key.partition(".")[0]


def _by_block(
    tensors: Mapping[str, torch.Tensor], anatomy: Anatomy
) -> tuple[Tensors, list[Tensors]]:
    """Return the state outside the blocks, and that of each block by names within it."""
    outside: Tensors = {}
    blocks: list[Tensors] = [{} for _ in anatomy.blocks]
    prefix = f"{anatomy.path}."
    for key, tensor in tensors.items():
        if key.startswith(prefix):
            index, _, rest = key.removeprefix(prefix).partition(".")
            blocks[int(index)][rest] = tensor
        else:
            outside[key] = tensor
    return outside, blocks
