"""Models of which accelerate keeps weights on the disk or the host, streamed from their checkpoint.

accelerate reads such weights for every call of a block. Here they are read once for all patterns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from accelerate.hooks import remove_hook_from_module
from torch import nn

from evop_deap.base.errors import InputError
from evop_deap.models.anatomy.devices import elsewhere, offloaded
from evop_deap.models.loading.checkpoint_files import SAFETENSORS, checkpoint_folder
from evop_deap.models.loading.mapped_pages import MappedPages
from evop_deap.models.loading.put_together import conversions_of, load_in_parts, whole
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.models.loading.shards import stored_in
from evop_deap.models.loading.weights_place import why_not_streamed
from evop_deap.models.streaming.streamed_weights import StreamedWeights

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

_LOG = logging.getLogger(__name__)

_FRESH: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()
"""By model, the one from the files, which its stand-ins live as long as."""


def stream_offloaded(model: PreTrainedModel) -> None:
    """Stream the weights of a model, if accelerate keeps some on the disk or on the host.

    They are compared with those in its checkpoint, and a line is logged. The model runs on the
    device that its blocks ran on; a model without such weights stays as it is.

    Raises:
        InputError: the checkpoint is not known, cannot be streamed or has other weights.
    """
    if not offloaded(model):
        return
    said = elsewhere(model)
    fresh, folder = _from_files(model, said)
    pages = MappedPages()
    for name, own in _weights(model):
        stored = whole(fresh.get_parameter(name).data)
        same = own is not None and torch.equal(own.cpu(), stored.to(own.dtype))
        pages.let_go(stored)
        if not same:
            raise InputError(
                f"{said}, and {name} has other values than in {folder}: save the model, and load "
                "it from there"
            )
    (device,), dtype = _devices(model), model.dtype
    remove_hook_from_module(model, recurse=True)
    model.load_state_dict(fresh.state_dict(), strict=True, assign=True)
    model.tie_weights()
    for name, module in fresh.named_modules():
        model.get_submodule(name)._buffers.update(module._buffers)
    StreamedWeights(model, dtype, device)
    _FRESH[model] = fresh
    _LOG.warning("%s: they are streamed from %s", said, folder)


def _from_files(model: PreTrainedModel, said: str) -> tuple[PreTrainedModel, Path]:
    """Return the model of a checkpoint, mapped from its files, and its folder.

    Raises:
        InputError: there is none, or it cannot be streamed.
    """
    name = model.name_or_path
    where = {"pretrained_model_name_or_path": name, "local_files_only": True}
    where |= {"revision": getattr(model.config, "_commit_hash", None)}
    folder = checkpoint_folder(where, SAFETENSORS) if name else None
    if folder is None:
        raise InputError(
            f"{said}, to be read for every call, and its checkpoint is not known: python -m "
            "evop_deap.search --weights streamed reads them once for all patterns"
        )
    files = stored_in(folder)
    kinds = {t.torch_dtype for t in files.values() if t.torch_dtype is not None}
    stored = model.dtype if model.dtype in kinds or not kinds else min(kinds, key=str)
    reason = why_not_streamed(
        files, where, model.config, stored, model.dtype, _devices(model), False
    )
    if reason is not None:
        raise InputError(f"{said}, and they cannot be streamed: {reason}")
    how = {"dtype": stored, "attn_implementation": model.config._attn_implementation}
    with quiet_transformers():
        if conversions_of(model.config, files):
            return load_in_parts(folder, **how)[0].eval(), folder
        return type(model).from_pretrained(folder, **how).eval(), folder


def _devices(model: PreTrainedModel) -> tuple[torch.device, ...]:
    """Return the devices on which accelerate runs the modules of a model."""
    hooks = (getattr(module, "_hf_hook", None) for module in model.modules())
    named = (getattr(hook, "execution_device", None) for hook in hooks)
    return tuple(dict.fromkeys(torch.device(place) for place in named if place is not None))


def _weights(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor | None]]:
    """Yield each weight by name, where accelerate keeps it; None where it cannot be found."""
    maps: dict[str, Any] = {}
    for name, module in offloaded(model).items():
        hook: Any = module._hf_hook
        for key, _ in module.named_parameters(recurse=hook.place_submodules):
            maps[f"{name}.{key}" if name else key] = (hook.weights_map, key)
    for name, weight in model.named_parameters():
        if weight.device.type != "meta":
            yield name, weight.detach()
        else:
            kept, key = maps.get(name, ({}, name))
            yield name, kept[key] if name in maps else None
