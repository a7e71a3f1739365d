"""Which weights of a part must be zero so that it says nothing, found by running it."""

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
    """The weights that make what these parts add to the hidden state.

    Of each module of a part those of the projection whose output is the module's own; where no
    single one is, as in a mixture of experts, all weights of the module.
    """
    modules = [module for part in parts for module in part.modules]
    if not modules:
        return set()
    said = _what_is_said(model, modules)
    return {p for module in modules for p in _projection(module, said).parameters()}


def _what_is_said(
    model: PreTrainedModel, modules: Sequence[nn.Module]
) -> dict[nn.Module, torch.Tensor | None]:
    """The last output of these modules and of everything in them, on a few tokens."""
    said: dict[nn.Module, torch.Tensor | None] = {}

    def after(module: nn.Module, args: Any, output: Any) -> None:
        tensor = first_tensor(output)
        # A copy, because what comes after may add to it in place.
        said[module] = None if tensor is None else tensor.clone()

    with removable_hooks() as handles:
        for module in modules:
            for inner in module.modules():
                handles.append(inner.register_forward_hook(after))
        run_forward(model, probe_tokens(model))
    return said


def _projection(module: nn.Module, said: dict[nn.Module, torch.Tensor | None]) -> nn.Module:
    """The part of `module` that says what the module says, or the module itself."""
    whole = said.get(module)
    for part in _leaves(module):
        own = said.get(part)
        if own is not None and whole is not None and torch.equal(own, whole):
            return part
    return module


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The parts with weights of their own that are no members of a list.

    A member of a list may have spoken for all on these few tokens, as one expert among others.
    """
    if list(module.parameters(recurse=False)):
        yield module
    for child in module.children():
        if not isinstance(child, nn.ModuleList):
            yield from _leaves(child)
