"""The factory for evaluators of a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError
from evop_deap.fitness.model.compensator import Compensator
from evop_deap.fitness.model.population import DEFAULT_MEMORY_BUDGET
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.self_check import Share, checked_evaluator, evaluate_checked
from evop_deap.fitness.protocol import Evaluation, Evaluator, ModelEvaluator
from evop_deap.fitness.weighted import weighted
from evop_deap.models.streaming.streamed_weights import weights_of
from evop_deap.space import Pattern, SearchSpace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy


@dataclass(frozen=True, eq=False)
class Evaluators:
    """Creates evaluators of one model.

    Attributes:
        model: the dense model, in evaluation mode.
        anatomy: its parts, one for each gene.
        fitness: "ce", cross-entropy, or "kl", divergence from the dense model.
        compensator: compensates every pattern; None leaves the weights as they are.

    Raises:
        InputError: the weights are streamed, but the fitness or a compensator needs them all.
    """

    model: PreTrainedModel
    anatomy: Anatomy
    fitness: str = "ce"
    compensator: Compensator | None = None

    def __post_init__(self) -> None:
        streams = weights_of(self.model) is not None
        if streams and (self.fitness != "ce" or self.compensator is not None):
            raise InputError(
                "`weights` streamed needs `fitness` ce and `compensate` off: choose these, or "
                "`weights` resident"
            )

    def fast(
        self,
        tokens: NDArray[np.int64],
        space: SearchSpace,
        *,
        rng: random.Random,
        windows_at_once: int | None = None,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        on_evaluated: Callable[[], object] | None = None,
        on_fallback: Callable[[str], object] | None = None,
    ) -> ModelEvaluator:
        """Return the fastest evaluator with the model's own losses; see `checked_evaluator`.

        It is checked by the dense pattern and a random one of `space`, which `rng` draws.
        """
        return checked_evaluator(
            self.model,
            self.anatomy,
            tokens,
            [space.dense, space.random_pattern(rng)],
            fitness=self.fitness,
            compensator=self.compensator,
            windows_at_once=windows_at_once,
            memory_budget=memory_budget,
            on_evaluated=on_evaluated,
            on_fallback=on_fallback,
        )

    def evaluate(
        self,
        tokens: NDArray[np.int64],
        patterns: Sequence[Pattern],
        *,
        share: Share = lambda evaluator, tokens: evaluator,
        on_fallback: Callable[[str], object] | None = None,
    ) -> Evaluation:
        """Evaluate a few patterns on other windows; see `evaluate_checked`."""
        return evaluate_checked(
            self.model,
            self.anatomy,
            tokens,
            patterns,
            fitness=self.fitness,
            compensator=self.compensator,
            share=share,
            on_fallback=on_fallback,
        )

    def plain(
        self, tokens: NDArray[np.int64], weights: NDArray[np.float64] | None = None
    ) -> Evaluator:
        """Return an evaluator with one ordinary forward pass per pattern.

        Args:
            tokens: (windows, length) token ids.
            weights: (windows,) weight of each window; None for equal weights.
        """
        plain = ReferenceEvaluator(
            self.model,
            self.anatomy,
            tokens,
            fitness=self.fitness,
            compensator=self.compensator,
        )
        return weighted(plain, weights)
