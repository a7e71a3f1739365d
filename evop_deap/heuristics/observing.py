"""Watching the hidden state pass through every unit of the dense model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch

from evop_deap.heuristics.task import ModelParts, Task
from evop_deap.models.anatomy.parts import Block, silenced
from evop_deap.models.anatomy.probe import first_tensor, hidden_input, removable_hooks
from evop_deap.space.unit import units_by_block
from evop_deap.space.unit_names import unit_name

See = Callable[[str, torch.Tensor, torch.Tensor], object]
"""(name of the unit, hidden state before it, behind it), each (1, length, width)."""

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Two float32 hidden states, (1, length, width) each, to (1, length) figures."""


def watch_units(parts: ModelParts, see: See) -> None:
    """Run the dense model window by window and show what each unit does to the hidden state.

    Between two parts of a block stands what the block returns without the second and all behind
    it: of halves, the attention leads there, and the MLP from there to the block's output.

    Args:
        parts: the model and the windows to run.
        see: called for every block of every window, "0", "1" …, and for the parts of each where
            these are less than the block, "0.attn", "0.mlp" …
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
            seen = [state for state in states if state is not None]
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
    """By each measure's name and then by each unit's, the mean over all tokens of all windows.

    Args:
        parts: the model and the windows to run, once for all measures.
        measures: what is taken of the hidden state before a unit and behind it.

    Returns:
        The means of all units, and of the blocks that they make.
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
    """(units,) the same of one measure, for the units in their order."""
    (by_unit,) = mean_by_unit(parts, {"": measure}).values()
    return [by_unit[part.name] for part in parts.anatomy.parts]


def watching_cost(task: Task) -> float:
    """Dense-forward equivalents of watching every unit once.

    One pass, and of each block as many more as it has parts but for one, the first with its first
    part alone, the next with two of them, and so on.
    """
    units = task.space.units
    again = sum(
        units[unit].work
        for parts in units_by_block(units).values()
        for count in range(1, len(parts))
        for unit in parts[:count]
    )
    return 1.0 + again / dense_work(task)


def dense_work(task: Task) -> int:
    """Multiply-adds a token of the dense model, head included."""
    return sum(unit.work for unit in task.space.units) + task.model_parts.anatomy.head_work
