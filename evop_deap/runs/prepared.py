"""A loaded and checked model, its search space and the text to evaluate on."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evop_deap.evolution.racing import windows_together
from evop_deap.fitness.fitnesses import read_fitness
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import SearchSpace

if TYPE_CHECKING:
    from evop_deap.calibration import CalibrationSet
    from evop_deap.fitness.model.evaluators import Evaluators
    from evop_deap.heuristics.task import ModelParts
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel
    from evop_deap.recovery.compensation.search_compensator import SearchCompensator
    from evop_deap.runs.draw_questions import MixedSet, QuestionSet


@dataclass(frozen=True, eq=False)
class Prepared:
    """A loaded and checked model, its search space and the text to evaluate on.

    Attributes:
        config: the effective settings of one budget.
        loaded: the model and its tokenizer.
        anatomy: the parts of the model.
        space: the patterns to search.
        fingerprint: hash of the model's content.
        corpus: name of the corpus.
        text: calibration, validation and held-out windows.
        compensator: compensates the patterns of a search; None evaluates them as they are.
        questions: what the search evaluates patterns on instead of `text`; None for text.
    """

    config: SearchConfig
    loaded: LoadedModel
    anatomy: Anatomy
    space: SearchSpace
    fingerprint: str
    corpus: str
    text: CalibrationSet
    compensator: SearchCompensator | None
    questions: QuestionSet | None

    @property
    def searched(self) -> CalibrationSet | QuestionSet | MixedSet:
        """The windows of text, or the questions, on which the search evaluates patterns."""
        if self.questions is None or read_fitness(self.config.fitness).on_text is None:
            return self.questions or self.text
        return self.questions.with_text(self.text, windows_together(self.config.window))

    @property
    def model_parts(self) -> ModelParts:
        """The model as heuristics run it: on the calibration text, whatever is searched on."""
        from evop_deap.fitness.model.window_kinds import dense_work
        from evop_deap.heuristics.task import ModelParts

        windows = self.text.calibration.tokens
        unit = dense_work(self.searched.calibration.tokens, self.anatomy)
        cost = dense_work(windows, self.anatomy) / unit
        return ModelParts(self.loaded.model, self.anatomy, windows, cost)

    @property
    def together(self) -> int:
        """The number of windows that are computed together in a race."""
        if self.questions is not None:
            if read_fitness(self.config.fitness).is_sum:
                return 1
            from evop_deap.fitness.model.window_kinds import QUESTIONS_TOGETHER

            return QUESTIONS_TOGETHER
        return windows_together(self.config.window)

    @property
    def rng(self) -> random.Random:
        """A new generator with the seed of the settings."""
        return random.Random(self.config.seed)

    @property
    def evaluators(self) -> Evaluators:
        """A factory of evaluators of this model as the search evaluates patterns."""
        return self.evaluators_of(self.config.fitness, self.compensator)

    def evaluators_of(
        self, fitness: str, compensator: SearchCompensator | None = None
    ) -> Evaluators:
        """Return a factory of evaluators of this model.

        Args:
            fitness: "ce", "kl" or "answers".
            compensator: compensates every pattern; None leaves the weights as they are.
        """
        from evop_deap.fitness.model.evaluators import Evaluators

        return Evaluators(self.loaded.model, self.anatomy, fitness, compensator)
