"""Drop the last blocks but not the final one (Gromov et al. 2024, arXiv 2403.17887, section 4.4).

Their simpler strategy needs no data: it drops the deepest blocks except the final one, which maps
hidden states to the head's input.
"""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """Drop blocks from the second-to-last upwards, and the final block only at the end."""
    units = task.space.units
    final = units[-1].block
    backwards = sorted(task.space.droppable, reverse=True)
    order = sorted(backwards, key=lambda unit: units[unit].block == final)
    return Pick(task.space.greedy(order), order=tuple(order))


HEURISTIC = Heuristic("last", "the last blocks but for the final one", pick, cheap=True)
