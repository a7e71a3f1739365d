"""The layers of a quantised model, which a model with fewer blocks shares with it.

Packages pack weights in ways of their own, in classes of their own or in tensors with methods. So
whole layers are taken over, as they are, and nothing is unpacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.quantisation import is_quantised, method_of
from evop_deap.models.surgery.packing import Layer, leftovers
from evop_deap.models.surgery.renumbering import renumbering

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_whole_layers(model: PreTrainedModel, layers: Sequence[Layer]) -> None:
    """Refuse layers of a quantised model in which only one half has an effect.

    Raises:
        UnsupportedModelError: a half would need weights that are zero, and packed.
    """
    if is_quantised(model) and leftovers(layers):
        raise UnsupportedModelError(
            f"{type(model).__name__} is quantised ({method_of(model.config)}), so no half of a "
            "layer can be set to zero: drop whole blocks, or halves with `repackable`"
        )


def share_layers(
    model: PreTrainedModel, anatomy: Anatomy, layers: Sequence[Layer], pruned: PreTrainedModel
) -> None:
    """Give a model of these layers the weights of a quantised one, and its packed layers.

    Raises:
        AttributeError: a module has no counterpart.
    """
    names = renumbering(anatomy, layers)
    for name, module in list(pruned.named_modules()):
        if not (own := _tensors(module)):
            continue
        dense = model.get_submodule(names.old(name))
        if type(dense) is not type(module) or not _same_kind(own, _tensors(dense)):
            pruned.set_submodule(name, dense)
        else:
            module.load_state_dict(_tensors(dense), assign=True, strict=False)


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a module's own parameters and the buffers that are stored."""
    transient = module._non_persistent_buffers_set
    both = {**module._parameters, **module._buffers}
    return {n: t for n, t in both.items() if t is not None and n not in transient}


def _same_kind(plain: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return plain.keys() == other.keys() and not any(
        hasattr(tensor, "__tensor_flatten__") for tensor in other.values()
    )
