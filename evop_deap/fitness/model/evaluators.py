"""The factory for evaluators of a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.fitness.fitnesses import read_fitness
from evop_deap.fitness.model.compensator import Compensator
from evop_deap.fitness.model.population import DEFAULT_MEMORY_BUDGET
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.self_check import Share, checked_evaluator, evaluate_checked
from evop_deap.fitness.model.summed import Scales, SummedEvaluator, SummedModelEvaluator
from evop_deap.fitness.model.window_kinds import TextAndQuestions, Windows
from evop_deap.fitness.protocol import Evaluation, Evaluator, ModelEvaluator
from evop_deap.fitness.weighted import weighted
from evop_deap.models.streaming.offloaded import stream_offloaded
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
        fitness: "ce", cross-entropy; "kl", divergence from the dense model; or "answers", the
            cross-entropy over the options of questions; or a sum such as "ce+0.5*answers".
        compensator: compensates every pattern; None leaves the weights as they are.

    Raises:
        InputError: the weights are streamed, but a compensator or questions need them all; or
            accelerate keeps some on the disk or the host, and they cannot be streamed.
    """

    model: PreTrainedModel
    anatomy: Anatomy
    fitness: str = "ce"
    compensator: Compensator | None = None

    def __post_init__(self) -> None:
        stream_offloaded(self.model)
        streams = weights_of(self.model) is not None
        if streams and (self.fitness not in ("ce", "kl") or self.compensator is not None):
            raise InputError(
                "`weights` streamed needs `fitness` ce or kl, and no `compensator`: choose so, "
                "or `weights` resident"
            )

    def fast(
        self,
        tokens: Windows,
        space: SearchSpace,
        *,
        rng: random.Random,
        windows_at_once: int | None = None,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        stacked: bool | None = None,
        on_evaluated: Callable[[], object] | None = None,
        on_fallback: Callable[[str], object] | None = None,
    ) -> ModelEvaluator:
        """Return the fastest evaluator with the model's own losses; see `checked_evaluator`.

        It is checked by the dense pattern and a random one of `space`, which `rng` draws.
        """
        if isinstance(tokens, TextAndQuestions):
            text, answers = self._of_terms
            options: dict[str, Any] = {
                "rng": rng,
                "windows_at_once": windows_at_once and tokens.together,
                "memory_budget": memory_budget // 2,
                "stacked": stacked,
                "on_fallback": on_fallback,
            }
            return SummedModelEvaluator(
                text.fast(tokens.text, space, **options),
                answers.fast(tokens.questions, space, on_evaluated=on_evaluated, **options),
                tokens,
                read_fitness(self.fitness).weight,
                self.anatomy,
            )
        return checked_evaluator(
            self.model,
            self.anatomy,
            tokens,
            [space.dense, space.random_pattern(rng)],
            fitness=self.fitness,
            compensator=self.compensator,
            windows_at_once=windows_at_once,
            memory_budget=memory_budget,
            stacked=stacked,
            on_evaluated=on_evaluated,
            on_fallback=on_fallback,
        )

    def evaluate(
        self,
        tokens: Windows,
        patterns: Sequence[Pattern],
        *,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        share: Share = lambda evaluator, tokens: evaluator,
        on_fallback: Callable[[str], object] | None = None,
    ) -> Evaluation:
        """Evaluate a few patterns on other windows; see `evaluate_checked`."""
        options: dict[str, Any] = {
            "memory_budget": memory_budget,
            "share": share,
            "on_fallback": on_fallback,
        }
        if isinstance(tokens, TextAndQuestions):
            text, answers = self._of_terms
            both = (
                text.evaluate(tokens.text, patterns, **options),
                answers.evaluate(tokens.questions, patterns, **options),
            )
            scales = Scales.of(tokens, read_fitness(self.fitness).weight, self.anatomy)
            return scales.summed(both, range(len(tokens)))
        return evaluate_checked(
            self.model,
            self.anatomy,
            tokens,
            patterns,
            fitness=self.fitness,
            compensator=self.compensator,
            **options,
        )

    def plain(self, tokens: Windows, weights: NDArray[np.float64] | None = None) -> Evaluator:
        """Return an evaluator with one ordinary forward pass per pattern.

        Args:
            tokens: (windows, length) token ids; `Questions` for "answers"; both for a sum.
            weights: (windows,) weight of each window; None for equal weights.
        """
        if isinstance(tokens, TextAndQuestions):
            text, answers = self._of_terms
            return SummedEvaluator(
                text.plain(tokens.text),
                answers.plain(tokens.questions),
                tokens,
                read_fitness(self.fitness).weight,
                self.anatomy,
            )
        plain = ReferenceEvaluator(
            self.model,
            self.anatomy,
            tokens,
            fitness=self.fitness,
            compensator=self.compensator,
        )
        return weighted(plain, weights)

    @property
    def _of_terms(self) -> tuple[Evaluators, Evaluators]:
        """The factories of the two terms of a sum: on text, and on questions."""
        on_text = read_fitness(self.fitness).on_text
        return replace(self, fitness=on_text or "ce"), replace(self, fitness="answers")
