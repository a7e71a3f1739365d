"""BlockPruner (Zhong et al. 2024, arXiv 2406.10594): greedy removal of attention and MLP halves.

A block is split into its attention and its MLP, each with its residual connection. In each step,
the perplexity without each remaining half is measured, and the half with the lowest is dropped.
"""

from __future__ import annotations

from evop_deap.heuristics.greedy import remove_greedily
from evop_deap.heuristics.heuristic import HALF, Heuristic
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """Drop halves one by one, each time the one whose absence costs least; `path` has the steps."""
    return remove_greedily(task)


HEURISTIC = Heuristic("blockpruner", "BlockPruner's greedy removal", pick, granularities=(HALF,))
