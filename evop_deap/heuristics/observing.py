"""Watching the hidden state pass through every unit of the dense model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from evop_deap.heuristics.task import ModelParts, Task
from evop_deap.heuristics.units import ATTENTION
from evop_deap.models.probe import first_tensor, hidden_input, removable_hooks
from evop_deap.models.surgery import bypassed

See = Callable[[int, torch.Tensor, torch.Tensor], object]
"""(position of the unit, hidden state before it, behind it), each (1, length, width)."""


def watch_units(parts: ModelParts, see: See, *, halves: bool) -> None:
    """Run the dense model window by window and show what each unit does to the hidden state.

    Between the halves of a block stands what the block returns without its MLP: the attention
    half leads there, and the MLP half from there to the block's output.

    Args:
        parts: the model and the windows to run.
        see: called for every unit of every window.
        halves: whether the units are halves of blocks.
    """

    def watch(index: int) -> Any:
        def hook(
            module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
        ) -> None:
            before, after = hidden_input(args, kwargs), first_tensor(output)
            assert before is not None
            assert after is not None
            if not halves:
                see(index, before, after)
                return
            with bypassed(parts.anatomy, [2 * index + 1]):
                between = first_tensor(module.forward(*args, **kwargs))
            assert between is not None
            see(2 * index, before, between)
            see(2 * index + 1, between, after)

        return hook

    with removable_hooks() as handles, torch.inference_mode():
        for block in parts.anatomy.blocks:
            watched = block.module.register_forward_hook(watch(block.index), with_kwargs=True)
            handles.append(watched)
        for window in torch.as_tensor(parts.windows, device=parts.model.device):
            parts.model(input_ids=window.unsqueeze(0), use_cache=False)


def mean_of_units(
    parts: ModelParts,
    measure: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    halves: bool,
) -> list[float]:
    """The mean of `measure(before, behind)` over all tokens of all windows, for every unit.

    Args:
        parts: the model and the windows to run.
        measure: two float32 hidden states, (1, length, width) each, to (1, length) figures.
        halves: whether the units are halves of blocks.
    """
    count = len(parts.anatomy.blocks) * (2 if halves else 1)
    seen: list[list[torch.Tensor]] = [[] for _ in range(count)]

    def see(position: int, before: torch.Tensor, behind: torch.Tensor) -> None:
        seen[position].append(measure(before.float(), behind.float()).double().mean())

    watch_units(parts, see, halves=halves)
    return [float(torch.stack(values).mean()) for values in seen]


def watching_cost(task: Task) -> float:
    """Dense-forward equivalents of watching every unit once.

    One pass, and the attention halves once more where the units are halves.
    """
    attention = sum(unit.work for unit in task.space.units if unit.kind == ATTENTION)
    return 1.0 + attention / dense_work(task)


def dense_work(task: Task) -> int:
    """Multiply-adds a token of the dense model, head included."""
    return sum(unit.work for unit in task.space.units) + task.model_parts.anatomy.head_work
