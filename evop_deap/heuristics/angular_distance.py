"""Angular distance of a run of blocks (Gromov et al. 2024, arXiv 2403.17887, section 3).

Among all runs of consecutive blocks that the budget allows, it drops the one with the smallest
angular distance between its input and its output. The distance is the angle between the two
hidden states at the last token of a window, over π, averaged over windows (eq. 7; the minimum over
runs is eq. 6).
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError
from evop_deap.base.numbers import finite_or_worst
from evop_deap.heuristics.heuristic import BLOCK, Heuristic
from evop_deap.heuristics.task import Pick, Task, passes
from evop_deap.space import Pattern, SearchSpace, dropped_units

if TYPE_CHECKING:
    import torch


def pick(task: Task) -> Pick:
    """Drop the run of blocks that rotates the last token's hidden state least."""
    from evop_deap.heuristics.observing import watching_cost

    states = _last_states(task)
    runs = contiguous(task.space)
    if not runs:
        raise InputError(
            "`method` angular drops consecutive blocks, but no run of blocks that may go fills "
            "the budget: protect fewer, or choose another `sparsity` or `budget`"
        )
    distances = [_distance(states, *_ends(run)) for run in runs]
    best = min(range(len(runs)), key=distances.__getitem__)
    cost = watching_cost(task)
    return Pick(runs[best], cost=cost, work=passes(task.model_parts, cost=cost))


HEURISTIC = Heuristic(
    "angular",
    "the run of blocks of least angular distance",
    pick,
    needs_model=True,
    granularities=(BLOCK,),
    cheap=True,
)


def contiguous(space: SearchSpace) -> list[Pattern]:
    """Return every pattern of the space that drops one run of consecutive units, sorted."""
    last = len(space.units)
    patterns = dict.fromkeys(
        space.greedy([*range(first, last), *range(first)]) for first in space.droppable
    )
    runs = []
    for pattern in patterns:
        gone = dropped_units(pattern)
        if all(b == a + 1 for a, b in itertools.pairwise(gone)):
            runs.append(pattern)
    return sorted(runs)


def _ends(run: Pattern) -> tuple[int, int]:
    """Return the first block of the run, and the block after it."""
    gone = dropped_units(run)
    return gone[0], gone[-1] + 1


def _last_states(task: Task) -> torch.Tensor:
    """Return hidden states at the last token, before each block and after the last one.

    Their shape is (blocks + 1, windows, width).
    """
    import torch

    from evop_deap.heuristics.observing import watch_units

    names = [unit.name for unit in task.space.units]
    states: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    last: list[torch.Tensor] = []

    def see(block: str, before: torch.Tensor, behind: torch.Tensor) -> None:
        states[block].append(before[0, -1].double().cpu())
        if block == names[-1]:
            last.append(behind[0, -1].double().cpu())

    watch_units(task.model_parts, see)
    return torch.stack([torch.stack(each) for each in (*states.values(), last)])


def _distance(states: torch.Tensor, first: int, behind: int) -> float:
    """Return the mean angle over windows, divided by π; infinity if it is not finite."""
    import torch

    cosine = torch.cosine_similarity(states[first], states[behind], dim=-1).clamp(-1.0, 1.0)
    return finite_or_worst(float((cosine.arccos() / math.pi).mean()))
