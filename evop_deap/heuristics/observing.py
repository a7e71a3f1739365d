"""Watching the hidden state pass through every unit of the dense model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from evop_deap.heuristics.task import ModelParts, Task
from evop_deap.heuristics.unit_kinds import ATTENTION, MLP
from evop_deap.models.anatomy.probe import first_tensor, hidden_input, removable_hooks
from evop_deap.models.surgery.bypass import bypassed

See = Callable[[str, torch.Tensor, torch.Tensor], object]
"""(name of the unit, hidden state before it, behind it), each (1, length, width)."""

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Two float32 hidden states, (1, length, width) each, to (1, length) figures."""


def watch_units(parts: ModelParts, see: See, *, halves: bool) -> None:
    """Run the dense model window by window and show what each unit does to the hidden state.

    Between the halves of a block stands what the block returns without its MLP: the attention
    half leads there, and the MLP half from there to the block's output.

    Args:
        parts: the model and the windows to run.
        see: called for every block of every window, "0", "1" …
        halves: whether it is called for the halves of each as well, "0.attn", "0.mlp" …
    """

    def watch(index: int) -> Any:
        def hook(
            module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
        ) -> None:
            before, after = hidden_input(args, kwargs), first_tensor(output)
            assert before is not None
            assert after is not None
            see(f"{index}", before, after)
            if not halves:
                return
            with bypassed(parts.anatomy, [2 * index + 1]):
                between = first_tensor(module.forward(*args, **kwargs))
            assert between is not None
            see(f"{index}.{ATTENTION}", before, between)
            see(f"{index}.{MLP}", between, after)

        return hook

    with removable_hooks() as handles, torch.inference_mode():
        for block in parts.anatomy.blocks:
            watched = block.module.register_forward_hook(watch(block.index), with_kwargs=True)
            handles.append(watched)
        for window in torch.as_tensor(parts.windows, device=parts.model.device):
            parts.model(input_ids=window.unsqueeze(0), use_cache=False)


def mean_by_unit(
    parts: ModelParts, measures: Mapping[str, Measure], *, halves: bool
) -> dict[str, dict[str, float]]:
    """By each measure's name and then by each unit's, the mean over all tokens of all windows.

    Args:
        parts: the model and the windows to run, once for all measures.
        measures: what is taken of the hidden state before a unit and behind it.
        halves: whether halves are measured beside the whole blocks.
    """
    seen: dict[str, dict[str, list[torch.Tensor]]] = {name: {} for name in measures}

    def see(unit: str, before: torch.Tensor, behind: torch.Tensor) -> None:
        for name, measure in measures.items():
            figure = measure(before.float(), behind.float()).double().mean()
            seen[name].setdefault(unit, []).append(figure)

    watch_units(parts, see, halves=halves)
    return {
        name: {unit: float(torch.stack(figures).mean()) for unit, figures in by_unit.items()}
        for name, by_unit in seen.items()
    }


def mean_of_units(parts: ModelParts, measure: Measure, *, halves: bool) -> list[float]:
    """(units,) the same of one measure, for the blocks or the halves in their order."""
    (by_unit,) = mean_by_unit(parts, {"": measure}, halves=halves).values()
    return [figure for unit, figure in by_unit.items() if halves == ("." in unit)]


def watching_cost(task: Task) -> float:
    """Dense-forward equivalents of watching every unit once.

    One pass, and the attention halves once more where the units are halves.
    """
    attention = sum(unit.work for unit in task.space.units if unit.kind == ATTENTION)
    return 1.0 + attention / dense_work(task)


def dense_work(task: Task) -> int:
    """Multiply-adds a token of the dense model, head included."""
    return sum(unit.work for unit in task.space.units) + task.model_parts.anatomy.head_work
