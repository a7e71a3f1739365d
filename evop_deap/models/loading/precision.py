"""Computation in float32 with a model in lower precision, one module's weights at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import nn

from evop_deap.models.anatomy.probe import removable_hooks
from evop_deap.models.anatomy.quantisation import is_quantised
from evop_deap.models.loading.called_weights import Stored, put_back, replaced_when_called
from evop_deap.models.loading.freed_memory import return_freed_memory
from evop_deap.models.loading.hardware import free_memory

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_NARROW = (torch.bfloat16, torch.float16)

_IN_FLOAT32: WeakSet[nn.Module] = WeakSet()
"""Models in lower precision that compute in float32 from now on."""


@contextmanager
def computing_in_float32(model: PreTrainedModel, *, at_once: bool = False) -> Iterator[None]:
    """Inside this context, a bfloat16 or float16 model computes in float32 throughout.

    The weights that a module reads are widened when it is called, and restored when it returns.
    So there is never a second copy of the model. A quantised model computes as it was loaded,
    because its layers expect the dtype they were made for.

    Args:
        model: the model.
        at_once: widen all weights before the first call instead, where four such copies would fit
            in free memory. That is faster where the model is called on single tokens.
    """
    if model in _IN_FLOAT32 or is_quantised(model):
        yield
        return
    stored = _narrow(model.parameters())
    if at_once and 4 * 4 * sum(data.numel() for _, data in stored) <= free_memory(model.device):
        try:
            for parameter, data in stored:
                parameter.data = data.float()
            yield
        finally:
            put_back(stored)
        return
    with removable_hooks() as handles:
        try:
            if stored:
                return_freed_memory()
                handles += replaced_when_called(model, widened)
            yield
        finally:
            # An interruption is no `Exception`, and torch runs no hooks after it.
            put_back(stored)


def compute_in_float32(model: PreTrainedModel) -> None:
    """From now on, a bfloat16 or float16 model computes in float32 throughout.

    Its weights are widened when they are read, as by `computing_in_float32`. Its configuration and
    its buffers become those of a float32 model.
    """
    _take_buffers(without_weights(model, torch.float32), model)
    say_dtype(model.config, torch.float32)
    return_freed_memory()
    replaced_when_called(model, widened)
    _IN_FLOAT32.add(model)


def dtype_of(model: PreTrainedModel) -> torch.dtype:
    """Return the dtype that a model computes in, which may be wider than that of its weights."""
    return torch.float32 if model in _IN_FLOAT32 else model.dtype


def computing_states(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Return a context in which the model computes its states: float16 in float32, others as is.

    The range of float16 is too small for the states of some models. That of bfloat16 is not, and
    its rounding is far below what one layer adds.
    """
    return computing_in_float32(model) if model.dtype is torch.float16 else nullcontext()


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in float32, if its dtype is narrower."""
    return tensor.float() if tensor.dtype in _NARROW else tensor


@contextmanager
def computing_like(model: PreTrainedModel, other: PreTrainedModel) -> Iterator[None]:
    """Inside this context, `other` computes in the dtype of `model`, which may be wider.

    Its buffers become those that a model of this dtype computes from its configuration.
    """
    if dtype_of(model) is other.dtype:
        yield
        return
    _take_buffers(without_weights(other, dtype_of(model)), other)
    with computing_in_float32(other):
        yield


def _take_buffers(source: PreTrainedModel, model: PreTrainedModel) -> None:
    """Give a model the buffers that another one of its configuration has computed."""
    for name, module in source.named_modules():
        twin = model.get_submodule(name)
        for key in module._non_persistent_buffers_set:
            buffer, before = module._buffers[key], twin._buffers.get(key)
            place = model.device if before is None else before.device
            twin._buffers[key] = None if buffer is None else buffer.to(place)


def say_dtype(config: PreTrainedConfig, dtype: torch.dtype) -> None:
    """Set the dtype in a configuration and in those inside it."""
    config.dtype = dtype
    for name in config.sub_configs:
        if getattr(config, name, None) is not None:
            say_dtype(getattr(config, name), dtype)


def without_weights(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """Return a model of the same configuration with buffers alone."""
    from accelerate import init_empty_weights

    model_class: Any = type(model)
    with init_empty_weights(include_buffers=False):
        made: PreTrainedModel = model_class._from_config(model.config, dtype=dtype)
    return made


def _narrow(parameters: Iterable[nn.Parameter]) -> Stored:
    return [(p, p.data) for p in parameters if p.dtype in _NARROW]
