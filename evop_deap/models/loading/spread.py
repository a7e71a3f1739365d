"""Models spread over several devices: runs of blocks on each, with accelerate's hooks between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch import nn

from evop_deap.models.anatomy.devices import device_of, is_spread

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Placed(AlignDevicesHook):  # type: ignore[misc]
    """The hook of a module whose weights are on its device already."""

    def init_hook(self, module: nn.Module) -> nn.Module:
        """Leave the weights where they are."""
        return module


def spread(model: PreTrainedModel, devices: Sequence[torch.device]) -> PreTrainedModel:
    """Move runs of blocks to the devices, so that each holds about as many bytes of weights.

    What comes before the blocks is on the first device, and what comes after them on the last. A
    head that shares its weights with the embedding stays with it.

    Args:
        model: a model without hooks; it is changed.
        devices: the devices, at least one.
    """
    if len(devices) == 1:
        return spread_by_block(model, (), devices[0], devices[0])
    blocks = _blocks_of(model)
    sizes = [sum(weight.nbytes for weight in block.parameters()) for block in blocks]
    before, after = (sum(map(_size, ends)) for ends in _ends(model, blocks))
    share = (before + sum(sizes) + after) / len(devices)
    places, reached = [], before
    for size in sizes:
        # A block belongs where its middle falls.
        places.append(devices[min(len(devices) - 1, int((reached + size / 2) / share))])
        reached += size
    return spread_by_block(model, places, devices[0], devices[-1])


def spread_by_block(
    model: PreTrainedModel,
    places: Sequence[torch.device],
    first: torch.device,
    last: torch.device,
) -> PreTrainedModel:
    """Move each block to its device, and the rest to the first and the last one.

    Args:
        model: a model without hooks; it is changed.
        places: (blocks,) devices.
        first: device of what comes before the blocks.
        last: device of what comes after them.
    """
    if {*places, first, last} == {first}:
        moved: Any = model  # transformers wraps `to` without its signature
        moved.to(first)
        return model
    blocks = _blocks_of(model)
    before, after = _ends(model, blocks)
    own = {id(weight) for module in before for weight in module.parameters()}
    for module in before:
        _place(model, module, first)
    for block, place in zip(blocks, places, strict=True):
        _place(model, block, place)
    for module in after:
        is_tied = any(id(weight) in own for weight in module.parameters())
        _place(model, module, first if is_tied else last)
    placed = {inner for one in (*before, *blocks, *after) for inner in one.modules()}
    for module in model.modules():
        if module not in placed:
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                tensor.data = tensor.data.to(first)
    _hook(model, model, first, returns=True)
    return model


def run_on(model: PreTrainedModel, device: torch.device) -> None:
    """Let a model run on a device, though its weights stay where they are.

    Its inputs and buffers move there. Its weights must come when they are used.

    Args:
        model: a model without hooks; it is changed.
        device: the device.
    """
    blocks = _blocks_of(model)
    before, after = _ends(model, blocks)
    for module in (*before, *blocks, *after):
        _hook(model, module, device)
    for module in model.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(device)
    _hook(model, model, device, returns=True)


def spread_like(model: PreTrainedModel, other: PreTrainedModel) -> PreTrainedModel:
    """Move another model to the devices of `model`.

    Args:
        model: a model on one device, or spread over several.
        other: a model without hooks; it is changed.
    """
    places = map(device_of, _blocks_of(model)) if is_spread(model) else ()
    return spread(other, list(dict.fromkeys((device_of(model), *places))))


def _place(model: PreTrainedModel, module: nn.Module, device: torch.device) -> None:
    module.to(device)
    _hook(model, module, device)


def _hook(
    model: PreTrainedModel, module: nn.Module, device: torch.device, *, returns: bool = False
) -> None:
    """Let a module take its input to a device, and its output back to where the input was."""
    skipped = getattr(model, "_skip_keys_device_placement", None)
    add_hook_to_module(module, Placed(device, io_same_device=returns, skip_keys=skipped))


def _blocks_of(model: PreTrainedModel) -> list[nn.Module]:
    """Return the members of the list beside the token embeddings with a module for each layer.

    A vision tower may have as many layers as the decoder.
    """
    count = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    parts: Any = model
    embeddings = parts.get_input_embeddings()
    beside = [one for one in model.modules() if embeddings in set(one.children())]
    lists = (
        list(module)
        for start in (*beside, model)
        for module in start.modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    )
    return next(lists, [])


def _ends(
    model: PreTrainedModel, blocks: Sequence[nn.Module]
) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the largest modules without blocks that come before them, and those after them.

    Modules without weights, such as rotary embeddings, come before, because they are called so.
    """
    members = set(blocks)
    before: list[nn.Module] = []
    after: list[nn.Module] = []

    def visit(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            if child in members:
                continue
            if members.isdisjoint(child.modules()):
                yield child
            else:
                yield from visit(child)

    order = {module: at for at, module in enumerate(model.modules())}
    start = order[blocks[0]] if blocks else 0
    for module in visit(model):
        is_after = order[module] > start and next(module.parameters(), None) is not None
        (after if is_after else before).append(module)
    return before, after


def _size(module: nn.Module) -> int:
    return sum(weight.nbytes for weight in module.parameters())
