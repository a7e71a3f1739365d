"""LaCo, layer collapse (Yang et al. 2024, arXiv 2402.11187, algorithm 1): it merges blocks.

A block l absorbs the K blocks after it by the sum of their differences from it (RDSC),

    θ*_l = θ_l + Σ_k (θ_{l+k} - θ_l),  k = 1 … K,

and these are dropped. The sweep tries such merges of C = 4 blocks from the last blocks upwards. It
keeps a merge if the mean cosine similarity of the last hidden states to the dense model's is at
least a threshold T. The next merge begins at least I = 2 blocks higher. Merged blocks may be
merged again.

The authors set T by hand, and T determines the number of blocks. Here the budget is given: T is
the highest of 0.95, 0.90, … at which the sweep drops enough blocks, and the last merge is
shortened to fit the budget. If there is none, blocks are merged from the last upwards, whatever
the similarity. Protected blocks are not merged. A merge costs the pass that tries it; no merge is
tried twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError
from evop_deap.heuristics.heuristic import BLOCK, Heuristic
from evop_deap.heuristics.task import ModelParts, Pick, Task, passes
from evop_deap.space import SearchSpace

if TYPE_CHECKING:
    import torch

COMBINED, INTERVAL = 4, 2
_THRESHOLDS = tuple(percent / 100 for percent in range(95, 0, -5))
_ANY = -1.0  # the lowest cosine

Group = tuple[tuple[int, float], ...]
"""(block, share) pairs: the first block stays, and its matrices become this weighted sum."""

Plan = tuple[Group, ...]
"""The groups of blocks that stay, in order."""


def pick(task: Task) -> Pick:
    """Merge blocks until the budget is met; `merges` has the weighted sums of those that stay."""
    trial = _Trial(task)
    for threshold in (*_THRESHOLDS, _ANY):
        plan = _sweep(task.space, trial, threshold)
        if (pattern := task.space.pattern(_gone(plan))) in task.space:
            merges = {group[0][0]: dict(group) for group in plan if len(group) > 1}
            work = passes(task.model_parts, 1 + len(trial.known), cost=trial.cost)
            return Pick(pattern, cost=trial.cost, work=work, merges=merges)
    raise InputError(
        "`method` laco merges neighbouring blocks, but no merges of blocks that may go fill the "
        "budget: protect fewer, or choose another `sparsity` or `budget`"
    )


HEURISTIC = Heuristic(
    "laco",
    "LaCo's layer collapse",
    pick,
    needs_model=True,
    holds_model=True,
    reads_weights=True,
    granularities=(BLOCK,),
    merges=True,
)


def merge(plan: Plan, first: int, count: int) -> Plan:
    """Return the plan in which the group at `first` absorbs the next `count` groups."""
    shares: dict[int, float] = {block: (1 - count) * share for block, share in plan[first]}
    for group in plan[first + 1 : first + 1 + count]:
        for block, share in group:
            shares[block] = shares.get(block, 0.0) + share
    kept = plan[first][0][0]
    group = ((kept, shares.pop(kept)), *sorted(shares.items()))
    return (*plan[:first], group, *plan[first + 1 + count :])


def _sweep(space: SearchSpace, trial: _Trial, threshold: float) -> Plan:
    """Run algorithm 1 with this threshold until the budget is met."""
    plan: Plan = tuple(((block, 1.0),) for block in range(len(space.units)))
    deepest, interval = (2, 1) if threshold == _ANY else (COMBINED, INTERVAL)
    place = len(plan) - deepest
    while place >= 0 and space.pattern(_gone(plan)) not in space:
        count = _count_that_fits(space, plan, place)
        tried = merge(plan, place, count)
        if count and trial.similarity(tried) >= threshold:
            plan = tried
            place = min(place - interval, len(plan) - deepest)
        else:
            place -= 1
    return plan


def _count_that_fits(space: SearchSpace, plan: Plan, place: int) -> int:
    """Return how many of the C - 1 groups after `place` may be merged into it."""
    heads = [group[0][0] for group in plan]
    if heads[place] in space.protected:
        return 0
    gone, count = list(_gone(plan)), 0
    for head in heads[place + 1 : place + COMBINED]:
        if head in space.protected or not space.fits(gone, head):
            break
        gone.append(head)
        count += 1
    return count


def _gone(plan: Plan) -> tuple[int, ...]:
    """Return the blocks that the plan drops."""
    blocks = {block for group in plan for block, _ in group}
    return tuple(sorted(blocks - {group[0][0] for group in plan}))


@dataclass(eq=False)
class _Trial:
    """Evaluates plans on the model, and caches the results."""

    task: Task
    cost: float = 0.0
    known: dict[Plan, float] = field(default_factory=dict)

    def similarity(self, plan: Plan) -> float:
        """Return the mean cosine of the head's inputs to the dense model's, over all tokens."""
        import torch

        from evop_deap.models.surgery.bypass import bypassed
        from evop_deap.models.surgery.merging import combined

        if plan not in self.known:
            gone = _gone(plan)
            merges = {group[0][0]: dict(group) for group in plan if len(group) > 1}
            with combined(self._parts.anatomy, merges), bypassed(self._parts.anatomy, gone):
                states = _head_inputs(self._parts)
            self.cost += self._share(set(gone))
            cosines = [
                torch.cosine_similarity(a, b, dim=-1).double().mean()
                for a, b in zip(states, self._dense, strict=True)
            ]
            self.known[plan] = float(torch.stack(cosines).mean())
        return self.known[plan]

    def __post_init__(self) -> None:
        self._parts = self.task.model_parts
        self._dense = _head_inputs(self._parts)
        self.cost += self._share(set())

    def _share(self, gone: set[int]) -> float:
        """Return the cost of a pass of the kept blocks and the head."""
        from evop_deap.heuristics.observing import dense_work

        dropped = sum(self.task.space.units[unit].work for unit in gone)
        return self._parts.pass_cost * (1.0 - dropped / dense_work(self.task))


def _head_inputs(parts: ModelParts) -> list[torch.Tensor]:
    """Return the head's input for each window, in float32: (1, length, width) each."""
    import torch

    seen: list[torch.Tensor] = []
    watched = parts.anatomy.head.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].float())
    )
    try:
        with torch.inference_mode():
            for window in torch.as_tensor(parts.windows, device=parts.model.device):
                parts.model(input_ids=window.unsqueeze(0), use_cache=False)
    finally:
        watched.remove()
    return seen
