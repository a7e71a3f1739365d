"""A second model of the halves that are kept, in the fewest ordinary layers of its architecture.

Its layers take their attention from one block of the dense model and their MLP from the same or a
later one, as `packing` arranges them. Where a layer has only one half to run, the other is its own
block's dropped one with a zeroed output: it is there, and says nothing.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.surgery.layer_tensors import silent_halves, sources_of, tensors_of
from evop_deap.models.surgery.packed_layers import packed_layers
from evop_deap.models.surgery.packing import Layer
from evop_deap.models.surgery.remap_config import remap_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
        pruned.load_state_dict(tensors_of(model, anatomy, layers), strict=True, assign=True)
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
    zeroed = sum(half.unit.parameters for half in silent_halves(anatomy, layers))
    return Repacked(pruned.eval(), layers, zeroed)


def without_blocks(
    model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]
) -> PreTrainedModel:
    """The model of `repacked` alone."""
    return repacked(model, anatomy, dropped).model


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
    config = remap_config(model.config, *sources_of(layers))
    # Buffers are real because nothing else would fill the ones that no checkpoint holds.
    with init_empty_weights(include_buffers=False):
        pruned: PreTrainedModel = model_class._from_config(config, dtype=model.dtype)
    return pruned
