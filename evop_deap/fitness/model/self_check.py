"""The self-check of the population evaluator against the model's own forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from evop_deap.base.errors import UnsupportedModelError, one_line
from evop_deap.fitness.model.compensator import Compensator
from evop_deap.fitness.model.population import DEFAULT_MEMORY_BUDGET, PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.streamed import StreamedEvaluator
from evop_deap.fitness.model.window_kinds import Part, Windows, taken
from evop_deap.fitness.protocol import Evaluation, Evaluator, ModelEvaluator
from evop_deap.models.anatomy.quantisation import rounds_to
from evop_deap.models.loading.precision import dtype_of
from evop_deap.models.streaming.streamed_weights import weights_of
from evop_deap.space import Pattern
from evop_deap.text.questions import Questions

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

_CHECKED_WINDOWS, _CHECKED_QUESTIONS = 2, 8
# Nats per token due to rounding: in low precision even the order of a sum matters.
_ALLOWED = {torch.float32: 1e-4, torch.float64: 1e-4}
_ALLOWED_ELSE = 2e-2
_NOT_USED = "the population evaluator is not used ({}); patterns run one by one"

Share = Callable[[ModelEvaluator, Windows], Evaluator]
"""Given an evaluator and its windows, returns one that may know losses."""


def checked_evaluator(
    model: PreTrainedModel,
    anatomy: Anatomy,
    tokens: Part,
    patterns: Sequence[Pattern],
    *,
    fitness: str = "ce",
    compensator: Compensator | None = None,
    windows_at_once: int | None = None,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
    stacked: bool | None = None,
    on_evaluated: Callable[[], object] | None = None,
    on_fallback: Callable[[str], object] | None = None,
) -> ModelEvaluator:
    """Return a population evaluator, if it agrees with the model's own forward pass.

    Some patterns are evaluated both ways on a few windows. If the losses differ, the reference
    evaluator is returned.

    Args:
        model: the dense model.
        anatomy: its blocks or halves.
        tokens: (windows, length) token ids; `Questions` for "answers".
        patterns: evaluated both ways.
        fitness: "ce", "kl" or "answers".
        compensator: compensates every pattern; None leaves the weights as they are.
        windows_at_once: largest number of windows computed together.
        memory_budget: largest size of the hidden states in bytes.
        stacked: see `PopulationEvaluator`; streamed weights are never stacked.
        on_evaluated: called after each pattern that the returned evaluator evaluates.
        on_fallback: called with the reason if the reference evaluator is used.
    """
    few = taken(tokens, _checked(tokens))
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
        difference = _difference(found, expected)
        # A difference of NaN must fail, too.
        if difference <= _tolerance(model):
            return _fast(
                model,
                anatomy,
                tokens,
                fitness=fitness,
                memory_budget=memory_budget,
                windows_at_once=windows_at_once,
                stacked=stacked,
                compensator=compensator,
                on_evaluated=on_evaluated,
            )
        problem = f"its losses differ from the model's own by {difference:.2g} nats per token"
    if on_fallback is not None:
        on_fallback(_NOT_USED.format(problem))
    return ReferenceEvaluator(
        model,
        anatomy,
        tokens,
        fitness=fitness,
        compensator=compensator,
        on_evaluated=on_evaluated,
    )


def evaluate_checked(
    model: PreTrainedModel,
    anatomy: Anatomy,
    tokens: Part,
    patterns: Sequence[Pattern],
    *,
    fitness: str = "ce",
    compensator: Compensator | None = None,
    memory_budget: int,
    share: Share,
    on_fallback: Callable[[str], object] | None = None,
) -> Evaluation:
    """Evaluate a few patterns by the population evaluator, and check one sum.

    The first pattern's loss is compared with the model's own, on a window of text or on some
    questions. If it differs, the reference evaluator evaluates all.

    Args:
        model: the dense model.
        anatomy: its blocks or halves.
        tokens: (windows, length) token ids; `Questions` for "answers".
        patterns: the patterns, at least one.
        fitness: "ce", "kl" or "answers".
        compensator: compensates every pattern; None leaves the weights as they are.
        memory_budget: largest size of the hidden states in bytes.
        share: given an evaluator of these tokens, returns one that reuses losses known before.
        on_fallback: called with the reason if the reference evaluator is used.
    """
    slow = ReferenceEvaluator(model, anatomy, tokens, fitness=fitness, compensator=compensator)
    try:
        fast = _fast(
            model,
            anatomy,
            tokens,
            fitness=fitness,
            compensator=compensator,
            memory_budget=memory_budget,
        )
        found = share(fast, tokens).evaluate(patterns)
    except (UnsupportedModelError, RuntimeError, TypeError, ValueError) as error:
        problem = one_line(error)
    else:
        places = _checked(tokens, most=1)
        own = slow.evaluate(patterns[:1], places)
        difference = _difference(found.sums[0, places] / own.tokens, own.sums[0] / own.tokens)
        if difference <= _tolerance(model):
            return found
        problem = f"a loss differs from the model's own by {difference:.2g} nats per token"
    if on_fallback is not None:
        on_fallback(_NOT_USED.format(problem))
    return slow.evaluate(patterns)


def _fast(
    model: PreTrainedModel,
    anatomy: Anatomy,
    tokens: Part,
    *,
    fitness: str,
    compensator: Compensator | None,
    stacked: bool | None = None,
    **options: Any,
) -> PopulationEvaluator | StreamedEvaluator:
    """Return the evaluator for where the weights of a model are."""
    weights = weights_of(model)
    if weights is None:
        return PopulationEvaluator(
            model,
            anatomy,
            tokens,
            fitness=fitness,
            compensator=compensator,
            stacked=stacked,
            **options,
        )
    assert not isinstance(tokens, Questions)  # `Evaluators` refuses them
    return StreamedEvaluator(model, anatomy, tokens, weights, fitness=fitness, **options)


def _checked(tokens: Part, most: int = _CHECKED_WINDOWS) -> list[int]:
    """Return the windows of text to check, at most `most`, or the questions to check.

    These are the ones with the longest option, and those with options farthest from the text that
    they share: local attention counts positions in some models, and places in the sequence in
    others.
    """
    if isinstance(tokens, Questions):
        asked, places = tokens.asked, range(len(tokens))
        apart = sorted(places, key=lambda at: asked[at].forks * asked[at].length, reverse=True)
        longest = max(places, key=lambda at: asked[at].longest)
        return sorted({longest, *apart[:_CHECKED_QUESTIONS]})
    return list(range(min(len(tokens), most)))


def _difference(found: NDArray[np.float64], own: NDArray[np.float64]) -> float:
    """Return the largest difference; a loss that is finite in neither is no difference."""
    same = ~(np.isfinite(found) | np.isfinite(own))
    return float(np.abs(np.where(same, 0.0, found) - np.where(same, 0.0, own)).max())


def _tolerance(model: PreTrainedModel) -> float:
    return allowed_difference(rounds_to(model, dtype_of(model)))


def allowed_difference(dtype: torch.dtype) -> float:
    """Return the tolerance for a dtype in nats per token.

    It is larger if PyTorch uses TF32 or bfloat16 products for float32.
    """
    coarser = dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest"
    return _ALLOWED_ELSE if coarser else _ALLOWED.get(dtype, _ALLOWED_ELSE)
