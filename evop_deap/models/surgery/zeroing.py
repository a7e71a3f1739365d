"""Search for the weights of a part that must be zero to make its output zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.models.anatomy.parts import Part
from evop_deap.models.anatomy.probe import first_tensor, probe_tokens, removable_hooks, run_forward

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def output_parameters(model: PreTrainedModel, parts: Sequence[Part]) -> set[nn.Parameter]:
    """Return the weights that produce the output of these parts.

    For each module of a part, they are the weights of the projection whose output is the module's
    output. If there is no such projection, as in a mixture of experts, they are all its weights.
    """
    modules = [module for part in parts for module in part.modules]
    if not modules:
        return set()
    outputs = _outputs_of(model, modules)
    return {p for module in modules for p in _projection(module, outputs).parameters()}


def _outputs_of(
    model: PreTrainedModel, modules: Sequence[nn.Module]
) -> dict[nn.Module, torch.Tensor | None]:
    """Return the last output of these modules and of all their submodules, on a few tokens."""
    outputs: dict[nn.Module, torch.Tensor | None] = {}

    def after(module: nn.Module, args: Any, output: Any) -> None:
        tensor = first_tensor(output)
        # A copy, because later code may change it in place.
        outputs[module] = None if tensor is None else tensor.clone()

    with removable_hooks() as handles:
        for module in modules:
            for inner in module.modules():
                handles.append(inner.register_forward_hook(after))
        run_forward(model, probe_tokens(model))
    return outputs


def _projection(module: nn.Module, outputs: dict[nn.Module, torch.Tensor | None]) -> nn.Module:
    """Return the submodule whose output is that of `module`, or `module` itself."""
    whole = outputs.get(module)
    for part in _leaves(module):
        own = outputs.get(part)
        if own is not None and whole is not None and torch.equal(own, whole):
            return part
    return module


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the submodules with their own weights, without members of module lists.

    On a few tokens, one member of a list, such as an expert, may produce the whole output.
    """
    if list(module.parameters(recurse=False)):
        yield module
    for child in module.children():
        if not isinstance(child, nn.ModuleList):
            yield from _leaves(child)
