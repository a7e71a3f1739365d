"""Which questions pruned models answer right, for many patterns in one walk through the model.

A question is answered right if the option with the highest log-likelihood per character is the
right one: `acc_norm` of lm-evaluation-harness, and `acc` where all options have one length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evop_deap.fitness.answer_losses import mistakes
from evop_deap.fitness.model.criterion import Answers, Criterion
from evop_deap.fitness.model.material import PackedQuestions
from evop_deap.fitness.model.option_likelihoods import likelihoods_of
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.self_check import checked_evaluator
from evop_deap.fitness.model.tiles import Tile
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.space import Pattern, dropped_units
from evop_deap.text.questions import Questions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

RightAnswers = Callable[[Sequence[Pattern], Questions], NDArray[np.bool_]]
"""From patterns and questions to (patterns, questions) right answers."""


class MistakesEvaluator(PopulationEvaluator):
    """A population evaluator whose sums are 1 for a wrong answer and 0 for a right one.

    Args: as of `PopulationEvaluator`; `tokens` are questions, and `fitness` is "answers".

    Example:
        >>> import torch
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> from evop_deap.models.anatomy.find_anatomy import find_anatomy
        >>> from evop_deap.text.questions import Option, Question
        >>> model = LlamaForCausalLM(LlamaConfig(
        ...     vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=3,
        ...     num_attention_heads=2)).eval()
        >>> same = Question((Option((5, 6, 7), 2, 3), Option((5, 6, 7), 2, 3)), right=0)
        >>> asked = Questions((same,))
        >>> evaluator = MistakesEvaluator(model, find_anatomy(model), asked, fitness="answers")
        >>> float(evaluator.evaluate([(1, 0, 1)]).sums[0, 0])  # of equals the first is taken
        0.0
    """

    name = "MistakesEvaluator"

    @property
    def arithmetic(self) -> str:
        """As of `PopulationEvaluator`; never that of losses."""
        return f"mistakes, {super().arithmetic}"

    def _criterion_of(self, fitness: str, tile: Tile) -> Criterion:
        packed = self._material
        assert isinstance(packed, PackedQuestions)  # `check_fitness` refuses text
        return Answers(packed, self._exit, tile, mistakes)


def right_answers(
    model: PreTrainedModel,
    anatomy: Anatomy,
    patterns: Sequence[Pattern],
    questions: Questions,
    *,
    on_fallback: Callable[[str], object] | None = None,
) -> NDArray[np.bool_]:
    """Return (patterns, questions) whether each pruned model answers each question right.

    Args: as of `checked_answering`.
    """
    answers = checked_answering(model, anatomy, patterns, questions, on_fallback=on_fallback)
    return answers(patterns, questions)


def checked_answering(
    model: PreTrainedModel,
    anatomy: Anatomy,
    patterns: Sequence[Pattern],
    questions: Questions,
    *,
    on_fallback: Callable[[str], object] | None = None,
) -> RightAnswers:
    """Return a function from patterns and questions to right answers, as of `right_answers`.

    The likelihoods are checked once, as a search checks its losses. If they differ from the model's
    own, every option is a forward pass of its own.

    Args:
        model: the dense model, in evaluation mode.
        anatomy: its blocks or halves.
        patterns: patterns that will be asked for, at least one. The first two are checked.
        questions: those that will be asked. The longest are checked.
        on_fallback: called with the reason if the population evaluator is not used.
    """
    checked = checked_evaluator(
        model, anatomy, questions, patterns[:2], fitness="answers", on_fallback=on_fallback
    )
    if isinstance(checked, PopulationEvaluator):
        return partial(_answers_together, model, anatomy)
    return partial(_answers_alone, model, anatomy)


def _answers_together(
    model: PreTrainedModel, anatomy: Anatomy, patterns: Sequence[Pattern], questions: Questions
) -> NDArray[np.bool_]:
    wrong = MistakesEvaluator(model, anatomy, questions, fitness="answers")
    return np.equal(wrong.evaluate(patterns).sums, 0)


def _answers_alone(
    model: PreTrainedModel, anatomy: Anatomy, patterns: Sequence[Pattern], questions: Questions
) -> NDArray[np.bool_]:
    found = []
    for pattern in patterns:
        with bypassed(anatomy, dropped_units(pattern)):
            found.append(mistakes(likelihoods_of(model, questions), questions.asked))
    return np.equal(found, 0)
