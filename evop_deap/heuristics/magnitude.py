"""Weight magnitude, as a baseline in Shortened LLaMA (Kim et al. 2024, arXiv 2402.02834, "Mag").

A unit with small weights is taken for unimportant. It looks at no text, and at no unit's place.
"""

from __future__ import annotations

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import Pick, Task, lowest


def pick(task: Task) -> Pick:
    """Drop the units whose weights' absolute values add up to least: Σ|w|, the `scores`."""
    from evop_deap.heuristics.unit_weights import parameters_of_units

    scores = [
        sum(float(parameter.detach().double().abs().sum()) for parameter in parameters)
        for parameters in parameters_of_units(task)
    ]
    return lowest(task, scores)


HEURISTIC = Heuristic("magnitude", "weight magnitude", pick, needs_model=True, cheap=True)
