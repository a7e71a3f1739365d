"""A model, its search space and the text to evaluate on, loaded and checked."""

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


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model, the space over its units and the text to evaluate on, loaded and checked.

    Attributes:
        config: the effective settings, of one budget.
        loaded: the model and its tokenizer.
        anatomy: where its parts are.
        space: which patterns there are.
        fingerprint: the model's identity by content.
        corpus: name of the corpus.
        text: windows to search on, to validate on and to report on.
    """

    config: SearchConfig
    loaded: LoadedModel
    anatomy: Anatomy
    space: SearchSpace
    fingerprint: str
    corpus: str
    text: CalibrationSet

    @property
    def rng(self) -> random.Random:
        """A generator that begins with the seed of the settings; a new one each time."""
        return random.Random(self.config.seed)

    @property
    def evaluators(self) -> Evaluators:
        """Makes evaluators of this model under the fitness of the settings."""
        return self.evaluators_of(self.config.fitness)

    def evaluators_of(self, fitness: str) -> Evaluators:
        """Makes evaluators of this model under another fitness."""
        from evop_deap.fitness.model.evaluators import Evaluators

        return Evaluators(self.loaded.model, self.anatomy, fitness)
