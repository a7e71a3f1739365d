"""Construction of a second model from the kept halves, in the fewest ordinary layers.

Each layer takes its attention from one block of the dense model and its MLP from the same or a
later block, as `packing` arranges them. If a layer needs only one half, the other is the dropped
half of the same block with zero output.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import UnsupportedModelError, one_line
from evop_deap.models.anatomy.devices import device_of, is_spread
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.quantisation import is_quantised
from evop_deap.models.loading.spread import spread_by_block
from evop_deap.models.streaming.streamed_weights import weights_of
from evop_deap.models.surgery.image_blocks import check_image_blocks
from evop_deap.models.surgery.layer_tensors import silent_halves, sources_of, tensors_of
from evop_deap.models.surgery.packed_layers import packed_layers
from evop_deap.models.surgery.packing import Layer
from evop_deap.models.surgery.quantised_layers import check_whole_layers, share_layers
from evop_deap.models.surgery.remap_config import remap_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)
class Repacked:
    """A model with fewer layers that shares its tensors with the dense model.

    Args:
        model: In evaluation mode, its layers on the devices of their source blocks; on the host, if
            the weights of the dense model are streamed.
        layers: The source blocks of its layers.
        zeroed: Elements of the halves with zero output.
    """

    model: PreTrainedModel
    layers: tuple[Layer, ...]
    zeroed: int


def repacked(model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]) -> Repacked:
    """Return a model without the `dropped` units; `model` itself stays unchanged.

    It is built from a remapped configuration, so every submodule has its new layer index.

    Raises:
        InputError: a position is out of range, or nothing stays.
        UnsupportedModelError: something in the model depends on its number of layers in a way
            that cannot be rewritten; the message names it.
    """
    layers = packed_layers(model, anatomy, dropped)
    _check_whole(model)
    pruned: Any = empty_repacked(model, anatomy, dropped, layers)
    try:
        if is_quantised(model):
            share_layers(model, anatomy, layers, pruned)
        else:
            pruned.load_state_dict(tensors_of(model, anatomy, layers), strict=True, assign=True)
    except (AttributeError, RuntimeError) as error:
        reason = re.sub(r"\s+", " ", str(error).partition("\n")[2] or str(error)).strip()
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot be built with {len(layers)} of its"
            f" {len(anatomy.blocks)} blocks: {reason}"
        ) from error
    pruned.tie_weights()
    # Tensors that are not in the state are computed with the skeleton, on the CPU.
    if is_quantised(model):
        _move_computed(pruned, model.device)
    elif weights_of(model) is None:
        spread_by_block(
            pruned,
            [device_of(anatomy.blocks[source].module) for source in sources_of(layers)[0]],
            model.device,
            device_of(anatomy.norm or anatomy.head),
        )
    zeroed = sum(half.unit.parameters for half in silent_halves(anatomy, layers))
    return Repacked(pruned.eval(), layers, zeroed)


def empty_repacked(
    model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int], layers: Sequence[Layer]
) -> PreTrainedModel:
    """Return the model of `repacked` in these layers, with parameters on the meta device.

    Raises:
        UnsupportedModelError: the units cannot be removed; the message says why.
    """
    check_image_blocks(model, anatomy, dropped)
    check_whole_layers(model, layers)
    pruned = _skeleton(model, layers)
    pruned.tie_weights()
    pruned.generation_config = copy.deepcopy(model.generation_config)
    return pruned


def without_blocks(
    model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]
) -> PreTrainedModel:
    """Return only the model of `repacked`."""
    return repacked(model, anatomy, dropped).model


def _move_computed(model: Any, device: torch.device) -> None:
    """Move the buffers that no state holds to a device."""
    for module in model.modules():
        for name in module._non_persistent_buffers_set:
            buffer = module._buffers[name]
            module._buffers[name] = None if buffer is None else buffer.to(device)


def _check_whole(model: PreTrainedModel) -> None:
    # Of a quantised model, small marks beside the weights may be elsewhere.
    tensors = model.parameters() if is_quantised(model) else model.state_dict().values()
    devices: set[torch.device] = {tensor.device for tensor in tensors}
    is_apart = len(devices) > 1 and not is_spread(model)
    if is_apart or torch.device("meta") in devices:
        places = ", ".join(sorted(str(device) for device in devices))
        raise UnsupportedModelError(
            f"the model is spread over {places}; load it on devices, none of which is the disk, "
            "to remove blocks"
        )


def _skeleton(model: PreTrainedModel, layers: Sequence[Layer]) -> PreTrainedModel:
    """Return an uninitialised model of these layers: parameters on meta, buffers computed."""
    from accelerate import init_empty_weights

    model_class: Any = type(model)
    config = remap_config(model.config, *sources_of(layers))
    # Buffers are computed, because no state fills the non-persistent ones.
    with init_empty_weights(include_buffers=False):
        try:
            pruned: PreTrainedModel = model_class._from_config(config, dtype=model.dtype)
        except Exception as error:  # a model's own code fails in its own way
            raise UnsupportedModelError(
                f"{type(model).__name__} cannot be built with {len(layers)} layers: "
                f"{one_line(error)}"
            ) from error
    return pruned
