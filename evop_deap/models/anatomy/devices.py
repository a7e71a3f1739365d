"""The devices of a model: one, or several over which accelerate's hooks have spread its modules.

A hook moves the input of its module to the module's device, so hidden states follow the blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.base.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy


def device_of(module: nn.Module) -> torch.device:
    """Return the device that a module runs on."""
    place = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    if place is not None:
        return torch.device(place)
    weight = next(module.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


def devices_of(anatomy: Anatomy) -> tuple[torch.device, ...]:
    """Return the devices that the blocks of a model run on, in the order in which they do."""
    return tuple(dict.fromkeys(device_of(block.module) for block in anatomy.blocks))


def is_spread(model: PreTrainedModel) -> bool:
    """Return whether accelerate's hooks move the inputs of a model's modules."""
    return any(hasattr(module, "_hf_hook") for module in model.modules())


def check_on_devices(model: PreTrainedModel) -> None:
    """Refuse a model of which accelerate keeps weights on the disk or on the host.

    It would read them once for each call of a block.

    Raises:
        InputError: some weights are not on a device.
    """
    if offloaded(model):
        raise InputError(
            f"{elsewhere(model)}, to be read for every call: StreamedEvaluator, or python -m "
            "evop_deap.search --weights streamed, reads them once for all patterns"
        )


def elsewhere(model: PreTrainedModel) -> str:
    """Return a clause on the weights that accelerate keeps on the disk or on the host."""
    name = next(iter(offloaded(model)))
    return (
        f"the `device_map` of {type(model).__name__} leaves weights such as {name} on the disk or "
        "the host"
    )


def offloaded(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the modules whose weights accelerate keeps on the disk or on the host, by name."""
    modules = model.named_modules()
    return {n: m for n, m in modules if getattr(getattr(m, "_hf_hook", None), "offload", False)}


def moved_to(device: torch.device, value: Any) -> Any:
    """Return the arguments of a call with all tensors in them on a device."""
    from accelerate.utils import send_to_device

    return send_to_device(value, device)
