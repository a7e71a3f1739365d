"""Observation of the hidden states before and after every unit of the dense model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch

from evop_deap.heuristics.task import ModelParts, Task
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.parts import Block, silenced
from evop_deap.models.anatomy.probe import first_tensor, hidden_input, removable_hooks
from evop_deap.space.unit import units_by_block
from evop_deap.space.unit_names import unit_name

See = Callable[[str, torch.Tensor, torch.Tensor], object]
"""Takes the name of a unit and the hidden states before and after it, (1, length, width) each."""

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps two float32 hidden states, (1, length, width) each, to (1, length) numbers."""


def watch_units(parts: ModelParts, see: See) -> None:
    """Run the dense model window by window, and pass the states around each unit to `see`.

    The state between two parts of a block is the block's output when the second part and all
    later ones are bypassed: between the halves, it is the block's output without its MLP.

    Args:
        parts: the model and the windows to run.
        see: called in every window for every block, "0", "1" …, and for its parts if it has
            several, "0.attn", "0.mlp" …
    """

    def watch(block: Block) -> Any:
        own = parts.anatomy.parts_of(block)

        def hook(
            module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
        ) -> None:
            states = [hidden_input(args, kwargs)]
            for place in range(1, len(own)):
                with silenced(own[place:]):
                    states.append(first_tensor(module.forward(*args, **kwargs)))
            states.append(first_tensor(output))
            device = device_of(module)  # the state before it may come from another one
            seen = [state.to(device) for state in states if state is not None]
            assert len(seen) == len(states)
            see(unit_name(block.index), seen[0], seen[-1])
            if len(own) > 1:
                for part, (before, behind) in zip(own, itertools.pairwise(seen), strict=True):
                    see(part.name, before, behind)

        return hook

    with removable_hooks() as handles, torch.inference_mode():
        for block in parts.anatomy.blocks:
            watched = block.module.register_forward_hook(watch(block), with_kwargs=True)
            handles.append(watched)
        for window in torch.as_tensor(parts.windows, device=parts.model.device):
            parts.model(input_ids=window.unsqueeze(0), use_cache=False)


def mean_by_unit(parts: ModelParts, measures: Mapping[str, Measure]) -> dict[str, dict[str, float]]:
    """Return the mean of each measure for each unit, over all tokens of all windows.

    Args:
        parts: the model and the windows to run, once for all measures.
        measures: functions of the hidden states before and after a unit, by name.

    Returns:
        Means by the name of the measure and then of the unit, for all units and all blocks.
    """
    seen: dict[str, dict[str, list[torch.Tensor]]] = {name: {} for name in measures}

    def see(unit: str, before: torch.Tensor, behind: torch.Tensor) -> None:
        for name, measure in measures.items():
            figure = measure(before.float(), behind.float()).double().mean()
            seen[name].setdefault(unit, []).append(figure)

    watch_units(parts, see)
    return {
        name: {unit: float(torch.stack(figures).mean()) for unit, figures in by_unit.items()}
        for name, by_unit in seen.items()
    }


def mean_of_units(parts: ModelParts, measure: Measure) -> list[float]:
    """Return the means of one measure in the order of the units: (units,)."""
    (by_unit,) = mean_by_unit(parts, {"": measure}).values()
    return [by_unit[part.name] for part in parts.anatomy.parts]


def watching_cost(task: Task) -> float:
    """Return the cost of `watch_units` in dense-forward equivalents.

    It is one pass, and for a block of n parts n - 1 more runs: with its first part, with its first
    two parts, and so on.
    """
    units = task.space.units
    again = sum(
        units[unit].work
        for parts in units_by_block(units).values()
        for count in range(1, len(parts))
        for unit in parts[:count]
    )
    return task.model_parts.pass_cost * (1.0 + again / dense_work(task))


def dense_work(task: Task) -> int:
    """Return the multiply-adds per token of the dense model, head included."""
    return sum(unit.work for unit in task.space.units) + task.model_parts.anatomy.head_work
