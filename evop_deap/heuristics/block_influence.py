"""ShortGPT's block influence (Men et al. 2024, arXiv 2403.03853): drop what changes least."""

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
    return lowest(task, scores, cost=watching_cost(task), work=passes(parts))


HEURISTIC = Heuristic(
    "block-influence", "ShortGPT's block influence", pick, needs_model=True, cheap=True
)


def influences_of(task: Task) -> NDArray[np.float64]:
    """(units,) influences on the task's windows."""
    parts = task.model_parts
    return block_influence(parts.model, parts.anatomy, parts.windows)


def block_influence(
    model: PreTrainedModel, anatomy: Anatomy, tokens: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How much each unit turns its hidden state: 1 - E[cos(x_in, x_out)] (eq. 1).

    Args:
        model: the dense model.
        anatomy: its units; the authors' are blocks.
        tokens: (windows, length) token ids.

    Returns:
        (units,) influences; the mean is over all tokens of all windows.
    """
    import numpy as np

    from evop_deap.heuristics.observing import mean_of_units

    return np.array(mean_of_units(ModelParts(model, anatomy, tokens), turn))


def least_influential(influences: NDArray[np.float64], space: SearchSpace) -> Pattern:
    """The pattern that drops the droppable units of least influence; of equals the first."""
    return space.greedy(ranked(space, influences.tolist()))


def turn(before: torch.Tensor, behind: torch.Tensor) -> torch.Tensor:
    """(1, length) how much each token's hidden state turns: 1 - cos."""
    import torch

    return 1.0 - torch.cosine_similarity(before, behind, dim=-1)
