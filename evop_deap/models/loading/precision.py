"""Computing in float32 with a model that is stored in less, one module's weights at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.models.anatomy.probe import removable_hooks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NARROW = (torch.bfloat16, torch.float16)

_Stored = list[tuple[nn.Parameter, torch.Tensor]]
"""Weights and what each is stored as."""


@contextmanager
def computing_in_float32(model: PreTrainedModel) -> Iterator[None]:
    """While this lasts, passes of a bfloat16 or float16 model are float32 throughout.

    The weights that a module reads are widened when it is called and put back as they were when
    it returns, so no second copy of the model is ever held.
    """
    stored = _narrow(model.parameters())
    head = model.get_output_embeddings()
    # What each call under way has widened, so that of calls within each other only the outermost
    # to read a weight narrows it. A call that fails before it widens finds nothing to narrow.
    widened: defaultdict[nn.Module, list[_Stored]] = defaultdict(list)

    def widen(module: nn.Module, _: Any) -> None:
        found = _narrow(_weights_read(module, head))
        widened[module].append(found)
        for parameter, _ in found:
            parameter.data = parameter.data.float()

    def restore(module: nn.Module, *_: Any) -> None:
        if widened[module]:
            _put_back(widened[module].pop())

    with removable_hooks() as handles:
        try:
            for module in model.modules() if stored else ():
                handles.append(module.register_forward_pre_hook(widen))
                handles.append(module.register_forward_hook(restore, always_call=True))
            yield
        finally:
            # An interruption is no `Exception`, and torch runs no hooks after it.
            _put_back(stored)


def _weights_read(module: nn.Module, head: nn.Module | None) -> Iterator[nn.Parameter]:
    """Its own weights and those of the children that it may use without calling them.

    Mixers of Mamba's kind hand the weights of their convolution to a kernel. Tables of the
    vocabulary are always called, and too large to be held wide throughout a pass.
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
