"""First-order Taylor importance, as in Shortened LLaMA (Kim et al. 2024, arXiv 2402.02834).

Setting a weight to 0 changes the loss by about w · ∂L/∂w (LeCun et al. 1989; Molchanov et al.
2017). A unit's importance is the sum of |w · ∂L/∂w| over its weights, where L is the mean
calibration loss. A backward pass counts as two forward passes, so the cost is 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.task import ModelParts, Pick, Task, lowest, passes

if TYPE_CHECKING:
    from torch import nn

_FORWARD, _BACKWARD = 1, 2  # passes


def pick(task: Task) -> Pick:
    """Drop the units of least importance; `scores` are the importances."""
    from evop_deap.heuristics.unit_weights import parameters_of_units

    units = parameters_of_units(task)
    with _gradients(task.model_parts, [p for parameters in units for p in parameters]):
        scores = [sum(_importance(p) for p in parameters) for parameters in units]
    spent = _FORWARD + _BACKWARD
    cost = task.model_parts.pass_cost * spent
    return lowest(task, scores, cost=cost, work=passes(task.model_parts, spent, cost=cost))


HEURISTIC = Heuristic(
    "taylor",
    "first-order Taylor importance",
    pick,
    needs_model=True,
    cheap=True,
    holds_model=True,
    reads_weights=True,
)


def _importance(parameter: nn.Parameter) -> float:
    if parameter.grad is None:  # an expert that no token was sent to
        return 0.0
    return float((parameter.detach().double() * parameter.grad.double()).abs().sum())


@contextmanager
def _gradients(parts: ModelParts, wanted: Sequence[nn.Parameter]) -> Iterator[None]:
    """Set the gradients of the mean loss over all predicted tokens, for these parameters only."""
    import torch

    tokens = torch.as_tensor(parts.windows, device=parts.model.device)
    count = tokens.shape[0] * (tokens.shape[1] - 1)
    before = [(p, p.requires_grad, p.grad) for p in parts.model.parameters()]
    try:
        for parameter, _, _ in before:
            parameter.requires_grad_(False)
            parameter.grad = None
        for parameter in wanted:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            for window in tokens:
                logits = parts.model(input_ids=window.unsqueeze(0), use_cache=False).logits
                predictions = logits[0, :-1].float()
                loss = torch.nn.functional.cross_entropy(predictions, window[1:], reduction="sum")
                (loss / count).backward()  # accumulates over the windows
        yield
    finally:
        for parameter, required, gradient in before:
            parameter.grad = gradient
            parameter.requires_grad_(required)
