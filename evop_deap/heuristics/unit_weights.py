"""The parameters of each unit."""

from __future__ import annotations

from torch import nn

from evop_deap.heuristics.task import Task


def parameters_of_units(task: Task) -> list[list[nn.Parameter]]:
    """Return all parameters of each unit's modules, without the norms of an attention or MLP."""
    return [
        [parameter for module in part.modules for parameter in module.parameters()]
        for part in task.model_parts.anatomy.parts
    ]
