"""Relative magnitude (Samragh et al. 2023, Weight subcloning, arXiv 2312.09299).

For a unit that maps x to x + f(x), the score is the norm of f(x) relative to that of x + f(x).
Units that add little are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task, lowest, passes

if TYPE_CHECKING:
    import torch


def pick(task: Task) -> Pick:
    """Drop the units of least mean |f(x)| / |x + f(x)| over all tokens, which are the `scores`."""
    from evop_deap.heuristics.observing import mean_of_units, watching_cost

    scores = mean_of_units(task.model_parts, share)
    cost = watching_cost(task)
    return lowest(task, scores, cost=cost, work=passes(task.model_parts, cost=cost))


HEURISTIC = Heuristic(
    "relative-magnitude", "relative magnitude", pick, needs_model=True, cheap=True
)


def share(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return |f(x)| / |x + f(x)| of each token, with y = x + f(x): (1, length)."""
    part: torch.Tensor = (y - x).norm(dim=-1) / y.norm(dim=-1)
    return part
