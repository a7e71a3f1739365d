"""Replacement of the weights that a module reads, for as long as its call lasts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Stored = list[tuple[nn.Parameter, torch.Tensor]]
"""Weights and the tensor that each is stored as."""

_REPLACE_THEMSELVES: WeakSet[nn.Module] = WeakSet()
"""Modules that replace their weights in their own `forward`."""


def replaced_when_called(
    model: PreTrainedModel, made: Callable[[torch.Tensor], torch.Tensor]
) -> list[Any]:
    """Replace the weights that a module reads while it runs; return the handles of the hooks.

    Args:
        model: the model.
        made: returns what a weight is replaced by, or the weight itself.
    """
    head = model.get_output_embeddings()
    # The weights that each running call has replaced. In nested calls, only the outermost call
    # that reads a weight restores it. A call that failed before it replaced any restores nothing.
    replaced: defaultdict[nn.Module, list[Stored]] = defaultdict(list)

    def replace(module: nn.Module, _: Any) -> None:
        found: Stored = []
        replaced[module].append(found)
        for parameter in _weights_read(module, head):
            stored = parameter.data
            other = made(stored)
            if other is not stored:
                found.append((parameter, stored))
                parameter.data = other

    def restore(module: nn.Module, *_: Any) -> None:
        if replaced[module]:
            put_back(replaced[module].pop())

    handles: list[Any] = []
    for module in model.modules():
        if module in _REPLACE_THEMSELVES:
            continue
        handles.append(module.register_forward_pre_hook(replace))
        # Before other hooks, which may have replaced weights before these.
        after = module.register_forward_hook(restore, always_call=True, prepend=True)
        handles.append(after)
    return handles


def replaces_itself(module: nn.Module) -> None:
    """Say that a module brings its weights to its input, so that others need not."""
    _REPLACE_THEMSELVES.add(module)


def put_back(stored: Stored) -> None:
    """Give weights the tensors that they are stored as."""
    for parameter, data in stored:
        parameter.data = data


def _weights_read(module: nn.Module, head: nn.Module | None) -> Iterator[nn.Parameter]:
    """Yield a module's own weights, and those of children that it may use without calling them.

    Mixers such as Mamba's pass the weights of their convolution to a kernel. Embeddings and the
    head are always called, and too large to be replaced for a whole pass.
    """
    yield from module.parameters(recurse=False)
    for child in module.children():
        is_leaf = next(child.children(), None) is None
        if is_leaf and child is not head and not isinstance(child, nn.Embedding):
            yield from child.parameters(recurse=False)
