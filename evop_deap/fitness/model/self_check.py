"""The self-check of the population evaluator against the model's own forward pass."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from evop_deap.base.errors import UnsupportedModelError, one_line
from evop_deap.fitness.model.compensator import Compensator
from evop_deap.fitness.model.population import DEFAULT_MEMORY_BUDGET, PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.streamed import StreamedEvaluator
from evop_deap.fitness.protocol import ModelEvaluator
from evop_deap.models.loading.precision import dtype_of
from evop_deap.models.streaming.streamed_weights import weights_of
from evop_deap.space import SearchSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

_CHECKED_WINDOWS = 2
# Nats per token due to rounding: in low precision even the order of a sum matters.
_ALLOWED = {torch.float32: 1e-4, torch.float64: 1e-4}
_ALLOWED_ELSE = 2e-2


def checked_evaluator(
    model: PreTrainedModel,
    anatomy: Anatomy,
    tokens: NDArray[np.int64],
    space: SearchSpace,
    *,
    rng: random.Random,
    fitness: str = "ce",
    compensator: Compensator | None = None,
    windows_at_once: int | None = None,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
    on_evaluated: Callable[[], object] | None = None,
    on_fallback: Callable[[str], object] | None = None,
) -> ModelEvaluator:
    """Return a population evaluator, if it agrees with the model's own forward pass.

    The dense pattern and a random one of `space` are evaluated both ways on a few windows. If the
    losses differ, the reference evaluator is returned.

    Args:
        model: the dense model.
        anatomy: its blocks or halves.
        tokens: (windows, length) token ids.
        space: the space of the random pattern.
        rng: draws the random pattern.
        fitness: "ce" or "kl".
        compensator: compensates every pattern; None leaves the weights as they are.
        windows_at_once: largest number of windows computed together.
        memory_budget: largest size of the hidden states in bytes.
        on_evaluated: called after each pattern that the returned evaluator evaluates.
        on_fallback: called with the reason if the reference evaluator is used.
    """
    patterns = [space.dense, space.random_pattern(rng)]
    few = tokens[:_CHECKED_WINDOWS]
    try:
        fast = _fast(
            model,
            anatomy,
            few,
            fitness=fitness,
            memory_budget=memory_budget,
            compensator=compensator,
        )
        found = fast.evaluate(patterns).losses
    except (UnsupportedModelError, RuntimeError, TypeError, ValueError) as error:
        problem = one_line(error)
    else:
        slow = ReferenceEvaluator(model, anatomy, few, fitness=fitness, compensator=compensator)
        expected = slow.evaluate(patterns).losses
        difference = float(np.abs(found - expected).max())
        # A difference of NaN must fail, too.
        if difference <= _allowed(dtype_of(model)):
            return _fast(
                model,
                anatomy,
                tokens,
                fitness=fitness,
                memory_budget=memory_budget,
                windows_at_once=windows_at_once,
                compensator=compensator,
                on_evaluated=on_evaluated,
            )
        problem = f"its losses differ from the model's own by {difference:.2g} nats per token"
    if on_fallback is not None:
        on_fallback(f"the population evaluator is not used ({problem}); patterns run one by one")
    return ReferenceEvaluator(
        model,
        anatomy,
        tokens,
        fitness=fitness,
        compensator=compensator,
        on_evaluated=on_evaluated,
    )


def _fast(
    model: PreTrainedModel,
    anatomy: Anatomy,
    tokens: NDArray[np.int64],
    *,
    fitness: str,
    compensator: Compensator | None,
    **options: Any,
) -> PopulationEvaluator | StreamedEvaluator:
    """Return the evaluator for where the weights of a model are."""
    weights = weights_of(model)
    if weights is None:
        return PopulationEvaluator(
            model, anatomy, tokens, fitness=fitness, compensator=compensator, **options
        )
    return StreamedEvaluator(model, anatomy, tokens, weights, **options)


def _allowed(dtype: torch.dtype) -> float:
    """Tolerance for a dtype; larger if PyTorch uses TF32 or bfloat16 products for float32."""
    coarser = dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest"
    return _ALLOWED_ELSE if coarser else _ALLOWED.get(dtype, _ALLOWED_ELSE)
