"""What workers of tests are made from: importable in their processes.

Libraries of models are imported where they are used: workers without a model start sooner.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evop_deap.distributed.worker import Made, Setup
from evop_deap.fitness.protocol import Evaluation
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.fitness.model.population import PopulationEvaluator

FACTS = {"model": "toy"}


def toy_evaluator(model: PreTrainedModel, fitness: str = "ce") -> PopulationEvaluator:
    """An evaluator of a toy on five windows, two of them together."""
    from toy_models import anatomy_of

    from evop_deap.fitness.model.population import PopulationEvaluator

    return PopulationEvaluator(
        model, anatomy_of(model), toy_tokens(model), fitness=fitness, windows_at_once=2
    )


def toy_tokens(model: PreTrainedModel) -> NDArray[np.int64]:
    """Its windows."""
    return np.random.default_rng(0).integers(0, model.config.vocab_size, (5, 12))


def toy_setup(checkpoint: Path, fitness: str = "ce") -> Setup:
    """Makes a worker of a toy checkpoint."""
    return partial(_made, str(checkpoint), fitness)


def _made(checkpoint: str, fitness: str) -> Made:
    from evop_deap.models.loading.load_model import load_model

    evaluator = toy_evaluator(load_model(checkpoint).model, fitness)
    return Made(evaluator, FACTS, evaluator.preparation_cost)


@dataclass(frozen=True)
class Logged:
    """Evaluates patterns slowly, and writes a line for each task: its process and patterns."""

    log: Path
    seconds: float

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        with self.log.open("a") as log:
            log.write(f"{os.getpid()} {len(patterns)}\n")
        time.sleep(self.seconds)
        sums = np.array([[float(sum(pattern))] for pattern in patterns])
        return Evaluation(sums, np.ones(1, dtype=np.int64), np.ones(len(patterns)))


def logged_setup(log: Path, seconds: float, facts: dict[str, str] = FACTS) -> Setup:
    """Makes a worker without a model, whose tasks take a while."""
    return partial(_logged, log, seconds, facts)


def _logged(log: Path, seconds: float, facts: dict[str, str]) -> Made:
    return Made(Logged(log, seconds), facts)


def failing_setup(error: Callable[[str], Exception], message: str) -> Setup:
    """Makes no worker."""
    return partial(_failed, error, message)


def _failed(error: Callable[[str], Exception], message: str) -> Made:
    raise error(message)
