"""Angular distance of a contiguous window (Gromov et al. 2024, arXiv 2403.17887, section 3).

Of all runs of neighbouring blocks that the budget allows, the one goes whose input and output
are nearest: the angle between the two hidden states at the last token of a window, over π, in
the mean over windows (eq. 7; the run of least distance is eq. 6).
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
    """Drop the run of blocks that turns the last token's hidden state least."""
    from evop_deap.heuristics.observing import watching_cost

    states = _last_states(task)
    runs = contiguous(task.space)
    if not runs:
        raise InputError(
            "`method` angular drops neighbouring blocks, but `protect` leaves no run that is "
            "long enough: protect fewer or lower `sparsity`"
        )
    distances = [_distance(states, *_ends(run)) for run in runs]
    best = min(range(len(runs)), key=distances.__getitem__)
    return Pick(runs[best], cost=watching_cost(task), work=passes(task.model_parts))


HEURISTIC = Heuristic(
    "angular",
    "the contiguous window of least angular distance",
    pick,
    needs_model=True,
    granularities=(BLOCK,),
    cheap=True,
)


def contiguous(space: SearchSpace) -> list[Pattern]:
    """Every pattern of the space that drops a run of neighbouring units, the earliest first."""
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
    """The first block of the run, and the one behind it."""
    gone = dropped_units(run)
    return gone[0], gone[-1] + 1


def _last_states(task: Task) -> torch.Tensor:
    """(blocks + 1, windows, width) hidden states at the last token, between the blocks."""
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
    """Mean angle over windows, in half turns; no number is as far as can be."""
    import torch

    cosine = torch.cosine_similarity(states[first], states[behind], dim=-1).clamp(-1.0, 1.0)
    return finite_or_worst(float((cosine.arccos() / math.pi).mean()))
