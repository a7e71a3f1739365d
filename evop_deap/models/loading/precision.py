"""Computation in float32 with a model in lower precision, one module's weights at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import nn

from evop_deap.models.anatomy.probe import removable_hooks
from evop_deap.models.anatomy.quantisation import is_quantised
from evop_deap.models.loading.freed_memory import return_freed_memory
from evop_deap.models.loading.hardware import free_memory

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_NARROW = (torch.bfloat16, torch.float16)

_IN_FLOAT32: WeakSet[nn.Module] = WeakSet()
"""Models in lower precision that compute in float32 from now on."""

_WIDEN_THEMSELVES: WeakSet[nn.Module] = WeakSet()
"""Modules whose weights are widened by their own `forward`."""

_Stored = list[tuple[nn.Parameter, torch.Tensor]]
"""Weights and the tensor that each is stored as."""


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
            _put_back(stored)
        return
    with removable_hooks() as handles:
        try:
            if stored:
                handles += _widen_when_called(model)
            yield
        finally:
            # An interruption is no `Exception`, and torch runs no hooks after it.
            _put_back(stored)


def compute_in_float32(model: PreTrainedModel) -> None:
    """From now on, a bfloat16 or float16 model computes in float32 throughout.

    Its weights are widened when they are read, as by `computing_in_float32`. Its configuration and
    its buffers become those of a float32 model.
    """
    _take_buffers(without_weights(model, torch.float32), model)
    _say_dtype(model.config, torch.float32)
    _widen_when_called(model)
    _IN_FLOAT32.add(model)


def dtype_of(model: PreTrainedModel) -> torch.dtype:
    """Return the dtype that a model computes in, which may be wider than that of its weights."""
    return torch.float32 if model in _IN_FLOAT32 else model.dtype


def widens_itself(module: nn.Module) -> None:
    """Say that a module widens its weights to the dtype of its input, so that others need not."""
    _WIDEN_THEMSELVES.add(module)


def _widen_when_called(model: PreTrainedModel) -> list[Any]:
    """Widen the weights that a module reads while it runs; return the handles of the hooks."""
    return_freed_memory()
    head = model.get_output_embeddings()
    # The weights that each running call has widened. In nested calls, only the outermost call
    # that reads a weight restores it. A call that failed before it widened restores nothing.
    widened: defaultdict[nn.Module, list[_Stored]] = defaultdict(list)

    def widen(module: nn.Module, _: Any) -> None:
        found = _narrow(_weights_read(module, head))
        widened[module].append(found)
        for parameter, _ in found:
            parameter.data = parameter.data.float()

    def restore(module: nn.Module, *_: Any) -> None:
        if widened[module]:
            _put_back(widened[module].pop())

    handles: list[Any] = []
    for module in model.modules():
        if module in _WIDEN_THEMSELVES:
            continue
        handles.append(module.register_forward_pre_hook(widen))
        # Before other hooks, which may have replaced weights before they were widened.
        after = module.register_forward_hook(restore, always_call=True, prepend=True)
        handles.append(after)
    return handles


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


def _say_dtype(config: PreTrainedConfig, dtype: torch.dtype) -> None:
    config.dtype = dtype
    for name in config.sub_configs:
        if getattr(config, name, None) is not None:
            _say_dtype(getattr(config, name), dtype)


def without_weights(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """Return a model of the same configuration with buffers alone."""
    from accelerate import init_empty_weights

    model_class: Any = type(model)
    with init_empty_weights(include_buffers=False):
        made: PreTrainedModel = model_class._from_config(model.config, dtype=dtype)
    return made


def _weights_read(module: nn.Module, head: nn.Module | None) -> Iterator[nn.Parameter]:
    """Yield a module's own weights, and those of children that it may use without calling them.

    Mixers such as Mamba's pass the weights of their convolution to a kernel. Embeddings and the
    head are always called, and too large to be widened for a whole pass.
    """
    yield from module.parameters(recurse=False)
    for child in module.children():
        is_leaf = next(child.children(), None) is None
        if is_leaf and child is not head and not isinstance(child, nn.Embedding):
            yield from child.parameters(recurse=False)


def _narrow(parameters: Iterable[nn.Parameter]) -> _Stored:
    return [(p, p.data) for p in parameters if p.dtype in _NARROW]


def _put_back(stored: _Stored) -> None:
    for parameter, data in stored:
        parameter.data = data
