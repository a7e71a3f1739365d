"""SLEB (Song et al. 2024, arXiv 2402.09025, section 3): verify redundancy anew at each removal.

Units are dropped one at a time. Before each removal, the calibration loss without each remaining
candidate is measured (their third metric, the loss of predicting the text), so that interactions
with units dropped before are included. With n units and k to drop, it evaluates
n + (n - 1) + … + (n - k + 1) patterns.

The authors' script never drops the first and the last block, as `--protect 0 -1` does here.
"""

from __future__ import annotations

from evop_deap.heuristics.greedy import remove_greedily
from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """Drop units one by one, each time the one whose absence costs least; `path` has the steps."""
    return remove_greedily(task)


HEURISTIC = Heuristic("sleb", "SLEB's greedy removal", pick)
