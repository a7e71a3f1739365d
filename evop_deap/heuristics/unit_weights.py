"""The parameters that a unit consists of."""

from __future__ import annotations

from torch import nn

from evop_deap.heuristics.task import Task
from evop_deap.heuristics.unit_kinds import granularity_of


def parameters_of_units(task: Task) -> list[list[nn.Parameter]]:
    """All parameters of each block, or of the modules that each of its halves consists of."""
    blocks = task.model_parts.anatomy.blocks
    if granularity_of(task.space.units) == "block":
        return [list(block.module.parameters()) for block in blocks]
    halves = [half for block in blocks for half in (block.attention, block.mlp)]
    return [[p for module in half for p in module.parameters()] for half in halves]
