"""Drop the last blocks, all but the final one (Gromov et al. 2024, arXiv 2403.17887, section 4.4).

Their simpler strategy looks at nothing: the deepest blocks go, except the last, which turns
hidden states into what the head reads.
"""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task


def pick(task: Task) -> Pick:
    """From the last block but one upwards; the final block goes last of all."""
    units = task.space.units
    final = units[-1].block
    backwards = sorted(task.space.droppable, reverse=True)
    order = sorted(backwards, key=lambda unit: units[unit].block == final)
    return Pick(task.space.greedy(order), order=tuple(order))


HEURISTIC = Heuristic("last", "the last blocks but for the final one", pick, cheap=True)
