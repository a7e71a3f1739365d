"""A second model of the halves that are kept, in the fewest ordinary layers of its architecture.

Its layers take their attention from one block of the dense model and their MLP from the same or a
later one, as `packing` arranges them. Where a layer has only one half to run, the other is its own
block's dropped one with a zeroed output: it is there, and says nothing.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.find_anatomy import Anatomy
from evop_deap.models.anatomy.halves import Half
from evop_deap.models.formats.drops import Drops
from evop_deap.models.surgery.config_fields import halves_combine, remap_config
from evop_deap.models.surgery.packing import Fits, Layer, leftovers, pack
from evop_deap.models.surgery.zeroing import output_parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Repacked:
    """A model of fewer layers that shares its tensors with the dense one.

    Args:
        model: In evaluation mode, on the device of the dense one.
        layers: What its layers are made of.
        zeroed: Elements of the halves that are there and say nothing.
    """

    model: PreTrainedModel
    layers: tuple[Layer, ...]
    zeroed: int


def drops_of(anatomy: Anatomy, dropped: Collection[int]) -> Drops:
    """Which halves go, from unit positions at the granularity of `anatomy`.

    Raises:
        InputError: a position that no unit has, or nothing stays.
    """
    n_blocks = len(anatomy.blocks)
    if anatomy.halves:
        return Drops.of_halves(n_blocks, dropped)
    return Drops.of_blocks(n_blocks, dropped)


def halves_that_fit(model: PreTrainedModel, anatomy: Anatomy) -> Fits:
    """Which halves of different blocks make one layer, as `pack` asks.

    They do where both blocks are their MLP after their attention and hold nothing beside these,
    and where the configuration can describe the two together.
    """

    @functools.cache
    def fits(attention: int, mlp: int) -> bool:
        return all(_comes_apart(anatomy, index) for index in (attention, mlp)) and halves_combine(
            model.config, attention, mlp
        )

    return fits


def pairs_that_repack(model: PreTrainedModel, anatomy: Anatomy) -> tuple[int, ...]:
    """Halves, by unit position, that leave no other half over when the next one goes too.

    The two halves of a block do. So do an MLP and the attention behind it, where the halves of
    blocks before and behind them, whichever stay, make one layer.
    """
    fits = halves_that_fit(model, anatomy)
    count = len(anatomy.blocks)
    across = [
        2 * block + 1
        for block in range(count - 1)
        if all(fits(i, j) for i in range(block + 1) for j in range(block + 1, count))
    ]
    return tuple(sorted([*range(0, 2 * count, 2), *across]))


def packed_layers(
    model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]
) -> tuple[Layer, ...]:
    """The layers that a model without the `dropped` units needs; builds nothing.

    Raises:
        InputError: a position that no unit has, or nothing stays.
    """
    return pack(drops_of(anatomy, dropped).live, halves_that_fit(model, anatomy))


def repacked(model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]) -> Repacked:
    """Build the model that lacks the `dropped` units; `model` itself is not touched.

    It is built from a remapped configuration, so every submodule knows its new layer index.

    Raises:
        InputError: a position that no unit has, or nothing stays.
        UnsupportedModelError: something in the model depends on its number of layers in a way
            that cannot be rewritten; the message names it.
    """
    layers = packed_layers(model, anatomy, dropped)
    _refuse_quantized(model)
    device = _only_device(model)
    pruned: Any = _skeleton(model, layers)
    try:
        pruned.load_state_dict(_tensors_of(model, anatomy, layers), strict=True, assign=True)
    except RuntimeError as error:
        reason = re.sub(r"\s+", " ", str(error).partition("\n")[2] or str(error)).strip()
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot be built with {len(layers)} of its"
            f" {len(anatomy.blocks)} blocks: {reason}"
        ) from error
    pruned.tie_weights()
    # Tensors that no checkpoint holds are computed where the skeleton is built, on the CPU.
    pruned.to(device)
    pruned.generation_config = copy.deepcopy(model.generation_config)
    zeroed = sum(_silent(anatomy, layer).parameters for layer in leftovers(layers))
    return Repacked(pruned.eval(), layers, zeroed)


def _sources(layers: Sequence[Layer]) -> tuple[list[int], list[int]]:
    """The blocks that attentions and MLPs are from; a silent half is its partner's own."""
    attention = [layer.mlp if layer.attention is None else layer.attention for layer in layers]
    mlp = [layer.attention if layer.mlp is None else layer.mlp for layer in layers]
    return [i for i in attention if i is not None], [i for i in mlp if i is not None]


def _silent(anatomy: Anatomy, layer: Layer) -> Half:
    """The half of a leftover layer that says nothing."""
    if layer.attention is None:
        assert layer.mlp is not None
        return anatomy.halves[layer.mlp].attention
    return anatomy.halves[layer.attention].mlp


def _comes_apart(anatomy: Anatomy, index: int) -> bool:
    """Whether a block is one half after the other and nothing else."""
    halves, block = anatomy.halves[index], anatomy.blocks[index].module
    own = _children(block, halves.attention) | _children(block, halves.mlp)
    return halves.sequential and {_child(key) for key in block.state_dict()} <= own


def _child(key: str) -> str:
    return key.partition(".")[0]


def _children(block: torch.nn.Module, half: Half) -> set[str]:
    """Names of the direct children of a block that belong to a half."""
    members = {*half.modules, *half.norms}
    return {name for name, child in block.named_children() if child in members}


def _tensors_of(model: PreTrainedModel, anatomy: Anatomy, layers: Sequence[Layer]) -> _Tensors:
    """The state of the new model: all outside the blocks, and its layers' halves renumbered."""
    outside, blocks = _by_block(model.state_dict(), anatomy)
    tensors = outside
    zeroed = output_parameters(model, [_silent(anatomy, layer) for layer in leftovers(layers)])
    for position, (layer, attention, mlp) in enumerate(zip(layers, *_sources(layers), strict=True)):
        state = dict(blocks[attention])
        if attention != mlp:
            block, half = anatomy.blocks[mlp].module, anatomy.halves[mlp].mlp
            # The attention's block is made of its two halves, so what is no MLP is attention.
            own = _children(anatomy.blocks[attention].module, anatomy.halves[attention].mlp)
            new = _children(block, half)
            state = {key: t for key, t in state.items() if _child(key) not in own}
            state |= {key: t for key, t in blocks[mlp].items() if _child(key) in new}
        if not layer.is_whole:
            block = anatomy.blocks[attention].module
            silent = {n for n, p in block.named_parameters() if p in zeroed}
            state |= {n: torch.zeros_like(state[n]) for n in silent}
        tensors |= {f"{anatomy.path}.{position}.{key}": tensor for key, tensor in state.items()}
    return tensors


def _by_block(
    tensors: Mapping[str, torch.Tensor], anatomy: Anatomy
) -> tuple[_Tensors, list[_Tensors]]:
    """The state outside the blocks, and that of each block under names within it."""
    outside: _Tensors = {}
    blocks: list[_Tensors] = [{} for _ in anatomy.blocks]
    prefix = f"{anatomy.path}."
    for key, tensor in tensors.items():
        if key.startswith(prefix):
            index, _, rest = key.removeprefix(prefix).partition(".")
            blocks[int(index)][rest] = tensor
        else:
            outside[key] = tensor
    return outside, blocks


def _refuse_quantized(model: PreTrainedModel) -> None:
    # The attribute exists only on models that were loaded from a checkpoint.
    if getattr(model, "hf_quantizer", None) is not None:
        raise UnsupportedModelError(
            f"{type(model).__name__} is quantized; load it dequantized to remove blocks"
        )


def _only_device(model: PreTrainedModel) -> torch.device:
    devices: set[torch.device] = {tensor.device for tensor in model.state_dict().values()}
    if len(devices) > 1 or torch.device("meta") in devices:
        places = ", ".join(sorted(str(device) for device in devices))
        raise UnsupportedModelError(
            f"the model is spread over {places}; load it on one device to remove blocks"
        )
    return devices.pop()


def _skeleton(model: PreTrainedModel, layers: Sequence[Layer]) -> PreTrainedModel:
    """An uninitialised model of these layers: parameters on meta, buffers computed."""
    from accelerate import init_empty_weights

    model_class: Any = type(model)
    config = remap_config(model.config, *_sources(layers))
    # Buffers are real because nothing else would fill the ones that no checkpoint holds.
    with init_empty_weights(include_buffers=False):
        pruned: PreTrainedModel = model_class._from_config(config, dtype=model.dtype)
    return pruned
