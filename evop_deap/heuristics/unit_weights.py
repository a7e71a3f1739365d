"""The parameters that a unit consists of."""

from __future__ import annotations

from torch import nn

from evop_deap.heuristics.task import Task


def parameters_of_units(task: Task) -> list[list[nn.Parameter]]:
    """All parameters of each unit's modules; the norms of an attention or MLP are none of them."""
    return [
        [parameter for module in part.modules for parameter in module.parameters()]
        for part in task.model_parts.anatomy.parts
    ]
