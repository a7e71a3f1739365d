"""Finding the writers of a block: its layers are changed one by one while it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.probe import (
    first_tensor,
    hidden_input,
    nearly_equal,
    removable_hooks,
)
from evop_deap.recovery.compensation.changed_weights import in_float32, written
from evop_deap.recovery.compensation.folding import with_gains, with_map
from evop_deap.recovery.compensation.writer import EXPERTS, GAINS, LINEAR, Writer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.entrance import BlockCall
    from evop_deap.models.anatomy.parts import Block
    from evop_deap.models.anatomy.steps import Step

Run = Callable[[torch.Tensor], torch.Tensor]
"""Maps the hidden state before a block to the one behind it: (rows, length, width)."""

_SEED = 20250


def find_writers(
    model: PreTrainedModel, step: Step, calls: Sequence[BlockCall], hidden: torch.Tensor
) -> tuple[Writer, ...]:
    """Return the layers of a step that write to its output, the last one first.

    Args:
        model: the model. A layer that shares weights with another one is no writer.
        step: the step.
        calls: the calls of all blocks for `hidden`.
        hidden: (1, length, width) state before the step, of real text, which shows experts best.
    """
    block = step.block
    hidden = hidden.to(device_of(block.module))
    off = [m for part in step.silent for m in (*part.modules, *part.norms)]
    silent = {inner for module in off for inner in module.modules()}
    watch = _Watch(block, partial(step.run, calls), hidden, silent)
    shared = _shared_parameters(model)
    found = []
    for module in reversed(watch.order):
        share = watch.share_of(module)
        if share is not None:
            made = _writer(block, module, share, watch)
            if made is not None and not shared & set(module.parameters(recurse=False)):
                fed = made.feeder and set(made.feeder.module.parameters(recurse=False))
                found.append(replace(made, feeder=None) if fed and shared & fed else made)
    return tuple(found)


class _Watch:
    """Runs of a block on one state, with changed outputs of its layers."""

    def __init__(
        self, block: Block, run: Run, hidden: torch.Tensor, silent: Collection[nn.Module]
    ) -> None:
        self._run, self._hidden = run, hidden
        self._calls: dict[nn.Module, int] = {}
        self.inputs: dict[nn.Module, torch.Tensor] = {}
        self.outputs: dict[nn.Module, torch.Tensor] = {}
        order: list[nn.Module] = []

        def after(module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
            given, tensor = hidden_input(args, kwargs), first_tensor(output)
            if given is not None and tensor is not None and tensor.numel() == hidden.numel():
                self.inputs[module] = given.clone()
                self._calls[module] = self._calls.get(module, 0) + 1
                # A copy, because what comes after may add to it in place.
                self.outputs[module] = tensor.clone()
                order.append(module)

        with removable_hooks() as handles:
            for module in block.module.modules():
                own = list(module.parameters(recurse=False))
                if own and module not in silent and module is not block.module:
                    handles.append(module.register_forward_hook(after, with_kwargs=True))
            self.output = run(hidden)
        width = hidden.shape[-1]
        once = (module for module in order if self._calls[module] == 1)
        self.order = [module for module in once if self.outputs[module].shape[-1] == width]
        generator = torch.Generator().manual_seed(_SEED)
        noise = torch.randn(hidden.shape, generator=generator).to(hidden)
        self._noise = noise * self.output.std()

    def share_of(self, module: nn.Module) -> float | None:
        """Return the factor of a module's output in the block's output; None if it is not added."""
        noise = self._noise

        def louder(module: nn.Module, args: Any, output: Any) -> Any:
            tensor = first_tensor(output)
            assert tensor is not None
            changed = tensor + noise.reshape(tensor.shape)
            return changed if isinstance(output, torch.Tensor) else (changed, *output[1:])

        with removable_hooks() as handles:
            handles.append(module.register_forward_hook(louder))
            moved = self._run(self._hidden) - self.output
        share = float((moved * noise).sum() / noise.square().sum())
        if not abs(share) > 1e-4 or not nearly_equal(share * noise, moved):
            return None
        return 1.0 if abs(share - 1.0) < 1e-4 else share

    def again(self, module: nn.Module) -> torch.Tensor:
        """Return the module's output now."""
        said: list[torch.Tensor] = []

        def after(module: nn.Module, args: Any, output: Any) -> None:
            tensor = first_tensor(output)
            assert tensor is not None
            said.append(tensor.clone())

        with removable_hooks() as handles:
            handles.append(module.register_forward_hook(after))
            self._run(self._hidden)
        return said[0]


def _writer(block: Block, module: nn.Module, share: float, watch: _Watch) -> Writer | None:
    """Return the module as a writer; None if its weights are of no known kind."""
    width = watch.output.shape[-1]
    own = dict(module.named_parameters(recurse=False))
    if any(not p.is_floating_point() for p in own.values()):
        return None
    if (linear := _linear(block, module, share)) is not None:
        return linear
    if all(p.shape == (width,) for p in own.values()) and "weight" in own:
        return _norm(block, module, share, watch)
    return _experts(block, module, share, watch)


def _linear(block: Block, module: nn.Module, share: float) -> Writer | None:
    from transformers.pytorch_utils import Conv1D

    if not isinstance(module, nn.Linear | Conv1D):
        return None
    own: dict[str, nn.Parameter] = dict(module.named_parameters(recurse=False))
    axis = 1 if isinstance(module, Conv1D) else 0
    name = _path(block, module)
    return Writer(name, module, share, LINEAR, own["weight"], axis, own.get("bias"))


def _norm(block: Block, module: nn.Module, share: float, watch: _Watch) -> Writer | None:
    """Return a norm whose output doubles with its gains, to which it may add 1."""
    own: dict[str, nn.Parameter] = dict(module.named_parameters(recurse=False))
    for offset in (0.0, 1.0):
        name, bias = _path(block, module), own.get("bias")
        writer = Writer(name, module, share, GAINS, own["weight"], 0, bias, offset)
        with written(in_float32(with_gains(writer, torch.tensor(2.0)))):
            doubled = watch.again(module)
        if nearly_equal(2 * watch.outputs[module], doubled):
            return replace(writer, feeder=_feeder(block, writer, watch))
    return None


def _feeder(block: Block, norm: Writer, watch: _Watch) -> Writer | None:
    """Return the linear layer right before a norm by root mean square."""
    given = watch.inputs[norm.module]
    size = given.square().mean(-1, keepdim=True).sqrt()
    if norm.bias is not None or not nearly_equal(
        (norm.weight.float() + norm.offset) * given / size, watch.outputs[norm.module]
    ):
        return None
    for module in watch.order:
        if torch.equal(watch.outputs[module], given):
            return _linear(block, module, 1.0)
    return None


def _experts(block: Block, module: nn.Module, share: float, watch: _Watch) -> Writer | None:
    """Return stacked matrices that take a map of the outputs, found by folding one in."""
    said = watch.outputs[module]
    width = said.shape[-1]
    generator = torch.Generator().manual_seed(_SEED)
    change = (torch.randn(width, width, generator=generator) / width**0.5).to(said)
    expected = said + said @ change
    own = list(module.parameters(recurse=False))
    biases = [p for p in own if p.ndim == 2 and p.shape[-1] == width]
    for weight in (p for p in own if p.ndim == 3):
        for axis in (1, 2):
            for bias in (None, *biases) if weight.shape[axis] == width else ():
                name = _path(block, module)
                writer = Writer(name, module, share, EXPERTS, weight, axis, bias)
                with written(in_float32(with_map(writer, change))):
                    if nearly_equal(expected, watch.again(module)):
                        return writer
    return None


def _path(block: Block, module: nn.Module) -> str:
    inside = next(name for name, inner in block.module.named_modules() if inner is module)
    return f"{block.name}.{inside}"


def _shared_parameters(model: PreTrainedModel) -> set[nn.Parameter]:
    """Return the weights that stand in several places."""
    seen: set[nn.Parameter] = set()
    shared: set[nn.Parameter] = set()
    for _, parameter in model.named_parameters(remove_duplicate=False):
        (shared if parameter in seen else seen).add(parameter)
    return shared
