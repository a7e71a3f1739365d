"""Relative magnitude (Samragh et al. 2023, Weight subcloning, arXiv 2312.09299).

With a unit that turns x into x + f(x), how large is f(x) beside x + f(x)? What adds little goes.
"""

from __future__ import annotations

import torch

from evop_deap.heuristics.observing import mean_of_units, watching_cost
from evop_deap.heuristics.task import Pick, Task, lowest, passes


def pick(task: Task) -> Pick:
    """Drop the units of least mean |f(x)| / |x + f(x)| over all tokens; these are the `scores`."""
    scores = mean_of_units(task.model_parts, share)
    return lowest(task, scores, cost=watching_cost(task), work=passes(task.model_parts))


def share(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(1, length) |f(x)| / |x + f(x)| of each token, with y = x + f(x)."""
    part: torch.Tensor = (y - x).norm(dim=-1) / y.norm(dim=-1)
    return part
