"""SLEB (Song et al. 2024, arXiv 2402.09025, section 3): verify redundancy anew at each removal.

Units go one at a time. Before each, the calibration loss of what is left without each candidate
is measured (their third metric, the loss of predicting the text), so that interactions with what
is gone already count. With n units and k to drop it judges n + (n - 1) + … + (n - k + 1) patterns.
"""

from __future__ import annotations

from evop_deap.heuristics.greedy import remove_greedily
from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """Drop units one by one, the least missed first; `path` has every step."""
    return remove_greedily(task)


HEURISTIC = Heuristic("sleb", "SLEB's greedy removal", pick)
