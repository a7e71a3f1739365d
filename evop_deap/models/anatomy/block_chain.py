"""Search for the decoder layers of a model: the module list that runs as a plain chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.probe import (
    first_tensor,
    hidden_input,
    probe_tokens,
    removable_hooks,
    run_forward,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)
class Trace:
    """The output of a chain of modules, and the module that takes it as input."""

    output: Any
    successor: nn.Module | None


def find_chain(model: PreTrainedModel) -> tuple[str, Trace]:
    """Return path and trace of the outermost module list that is a plain chain of all layers."""
    name = type(model).__name__
    count = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    lists = {
        # By index: `children` would list a module that is used for several layers only once.
        path: [module[index] for index in range(count)]
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    }
    if not lists:
        raise UnsupportedModelError(
            f"{name} has no list of {count} modules, the `num_hidden_layers` of its config"
        )
    calls = _record_calls(model)
    reasons = []
    # named_modules goes from the outside in, so the first chain is the outermost.
    for path, chain in lists.items():
        reason = _why_no_chain(chain, calls)
        if reason is None:
            return path, _trace_of(chain, calls)
        reasons.append(f"{path}: {reason}")
    raise UnsupportedModelError(
        f"the blocks of {name} are not a plain chain and cannot be dropped one by one"
        f" ({'; '.join(reasons)})"
    )


@dataclass(eq=False)
class _Call:
    """One call of one module during the probe; `output` is filled in when it returns."""

    module: nn.Module
    hidden: torch.Tensor | None
    output: Any = None


def _record_calls(model: PreTrainedModel) -> list[_Call]:
    """Return all module calls of one probe forward pass, in the order in which they begin."""
    calls: list[_Call] = []
    running: list[_Call] = []

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = _Call(module, hidden_input(args, kwargs))
        calls.append(call)
        running.append(call)

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        running.pop().output = output

    with removable_hooks() as handles, torch.no_grad():
        for module in model.modules():
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after))
        run_forward(model, probe_tokens(model))
    return calls


def _why_no_chain(chain: Sequence[nn.Module], calls: Sequence[_Call]) -> str | None:
    """Return why `chain` is not blocks that run once each, in order, output to input; else None."""
    if len(set(chain)) < len(chain):
        return "the same module stands for several layers"
    members = set(chain)
    made = [call for call in calls if call.module in members]
    if len(made) < len(chain):
        return f"{len(chain) - len(made)} of {len(chain)} did not run"
    if len(made) > len(chain):
        return "some run more than once a pass"
    for index, (call, expected) in enumerate(zip(made, chain, strict=True)):
        if call.module is not expected:
            return "they do not run in the order of the list"
        if call.hidden is None:
            return f"block {index} takes no hidden state"
        if index and call.hidden is not first_tensor(made[index - 1].output):
            return f"something changes the hidden state between blocks {index - 1} and {index}"
    return None


def _trace_of(chain: Sequence[nn.Module], calls: Sequence[_Call]) -> Trace:
    output = next(call.output for call in calls if call.module is chain[-1])
    hidden = first_tensor(output)
    begun = [call.module for call in calls]
    later = calls[begun.index(chain[-1]) + 1 :]
    inside = set(chain[-1].modules())
    takers = (c.module for c in later if c.hidden is hidden and c.module not in inside)
    return Trace(output=output, successor=next(takers, None))
