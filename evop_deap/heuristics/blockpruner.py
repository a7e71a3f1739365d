"""BlockPruner (Zhong et al. 2024, arXiv 2406.10594): greedy removal of attention and MLP halves.

A block is taken apart into its attention and its MLP, each with its residual connection; the
perplexity without each half is measured, the least missed one goes, and all is measured anew.
"""

from __future__ import annotations

from evop_deap.heuristics.greedy import remove_greedily
from evop_deap.heuristics.heuristic import HALF, Heuristic
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """Drop halves one by one, the least missed first; `path` has every step."""
    return remove_greedily(task)


HEURISTIC = Heuristic("blockpruner", "BlockPruner's greedy removal", pick, granularities=(HALF,))
