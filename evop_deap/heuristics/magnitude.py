"""Weight magnitude, as a baseline in Shortened LLaMA (Kim et al. 2024, arXiv 2402.02834, "Mag").

A unit with small weights counts as unimportant. The heuristic needs no text and ignores depth.
"""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task, lowest


def pick(task: Task) -> Pick:
    """Drop the units with the smallest sum of absolute weights Σ|w|; `scores` are these sums."""
    from evop_deap.heuristics.unit_weights import parameters_of_units
    from evop_deap.models.loading.put_together import whole

    scores = [
        sum(float(whole(parameter.detach()).double().abs().sum()) for parameter in parameters)
        for parameters in parameters_of_units(task)
    ]
    return lowest(task, scores)


HEURISTIC = Heuristic(
    "magnitude", "weight magnitude", pick, needs_model=True, cheap=True, reads_weights=True
)
