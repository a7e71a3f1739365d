"""LLM-Drop (He et al. 2024, arXiv 2406.15786): drop the attention halves of least change.

The similarity of a half is the cosine between the hidden states before and after it, with the
residual connection. The authors find attention more redundant and drop only attention. If the
budget needs more than all attention halves, MLP halves follow by the same measure.
"""

from __future__ import annotations

from evop_deap.heuristics.block_influence import influences_of
from evop_deap.heuristics.heuristic import HALF, Heuristic
from evop_deap.heuristics.task import Pick, Task, passes, ranked
from evop_deap.space.unit_names import ATTENTION


def pick(task: Task) -> Pick:
    """Drop the attention halves of highest similarity; `scores` are 1 - similarity."""
    from evop_deap.heuristics.observing import watching_cost

    space, scores, cost = task.space, influences_of(task).tolist(), watching_cost(task)
    by_score = ranked(space, scores)
    order = sorted(by_score, key=lambda unit: space.units[unit].kind != ATTENTION)
    return Pick(
        space.greedy(order),
        cost=cost,
        work=passes(task.model_parts, cost=cost),
        scores=tuple(scores),
        order=tuple(order),
    )


HEURISTIC = Heuristic(
    "llm-drop",
    "LLM-Drop's cosine similarity of attention halves",
    pick,
    needs_model=True,
    granularities=(HALF,),
    cheap=True,
)
