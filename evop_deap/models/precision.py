"""Computing in float32 with a model that is stored in less, one module's weights at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.models.probe import removable_hooks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NARROW = (torch.bfloat16, torch.float16)


@contextmanager
def computing_in_float32(model: PreTrainedModel) -> Iterator[None]:
    """While this lasts, passes of a bfloat16 or float16 model are float32 throughout.

    A module's own weights are widened when it is called and narrowed when it returns, which
    gives back the same bits; so no second copy of the model is ever held.
    """
    narrow = {id(p): p.dtype for p in model.parameters() if p.dtype in _NARROW}

    def widen(module: nn.Module, _: Any) -> None:
        for parameter in module.parameters(recurse=False):
            if id(parameter) in narrow:
                parameter.data = parameter.data.float()

    def restore(module: nn.Module, *_: Any) -> None:
        for parameter in module.parameters(recurse=False):
            if id(parameter) in narrow:
                parameter.data = parameter.data.to(narrow[id(parameter)])

    with removable_hooks() as handles:
        for module in model.modules() if narrow else ():
            handles.append(module.register_forward_pre_hook(widen))
            handles.append(module.register_forward_hook(restore, always_call=True))
        yield
