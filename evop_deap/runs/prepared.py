"""A loaded and checked model, its search space and the text to evaluate on."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import SearchSpace

if TYPE_CHECKING:
    from evop_deap.calibration import CalibrationSet
    from evop_deap.fitness.model.evaluators import Evaluators
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel
    from evop_deap.recovery.compensation.search_compensator import SearchCompensator


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
    """

    config: SearchConfig
    loaded: LoadedModel
    anatomy: Anatomy
    space: SearchSpace
    fingerprint: str
    corpus: str
    text: CalibrationSet
    compensator: SearchCompensator | None

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
            fitness: "ce" or "kl".
            compensator: compensates every pattern; None leaves the weights as they are.
        """
        from evop_deap.fitness.model.evaluators import Evaluators

        return Evaluators(self.loaded.model, self.anatomy, fitness, compensator)
