"""ShortGPT's block influence (Men et al. 2024, arXiv 2403.03853): drop the least influential."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import ModelParts, Pick, Task, lowest, passes, ranked
from evop_deap.space import Pattern, SearchSpace

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy


def pick(task: Task) -> Pick:
    """Drop the units of least influence; `scores` are the influences."""
    from evop_deap.heuristics.observing import watching_cost

    scores, parts = influences_of(task).tolist(), task.model_parts
    cost = watching_cost(task)
    return lowest(task, scores, cost=cost, work=passes(parts, cost=cost))


HEURISTIC = Heuristic(
    "block-influence", "ShortGPT's block influence", pick, needs_model=True, cheap=True
)


def influences_of(task: Task) -> NDArray[np.float64]:
    """Return the influences of the units on the task's windows: (units,)."""
    parts = task.model_parts
    return block_influence(parts.model, parts.anatomy, parts.windows)


def block_influence(
    model: PreTrainedModel, anatomy: Anatomy, tokens: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the influence of each unit: 1 - E[cos(x_in, x_out)] (eq. 1).

    Args:
        model: the dense model.
        anatomy: its units, which are blocks in the paper.
        tokens: (windows, length) token ids.

    Returns:
        (units,) influences; the mean is over all tokens of all windows.
    """
    import numpy as np

    from evop_deap.heuristics.observing import mean_of_units

    return np.array(mean_of_units(ModelParts(model, anatomy, tokens), turn))


def least_influential(influences: NDArray[np.float64], space: SearchSpace) -> Pattern:
    """Return the pattern that drops the droppable units of least influence, ties in unit order."""
    return space.greedy(ranked(space, influences.tolist()))


def turn(before: torch.Tensor, behind: torch.Tensor) -> torch.Tensor:
    """Return 1 - cos between each token's hidden states before and after a unit: (1, length)."""
    import torch

    return 1.0 - torch.cosine_similarity(before, behind, dim=-1)
