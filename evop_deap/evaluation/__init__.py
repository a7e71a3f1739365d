"""What a finished model is worth: perplexity, zero-shot tasks, speed, memory, degeneracy.

Each measurement is a function of a model and its input that returns a frozen result; each name
is imported when it is first touched, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evop_deap.evaluation.config import EvaluationConfig as EvaluationConfig
    from evop_deap.evaluation.degeneracy import measure_degeneracy as measure_degeneracy
    from evop_deap.evaluation.evaluating import run_evaluation as run_evaluation
    from evop_deap.evaluation.memory import peak_memory as peak_memory
    from evop_deap.evaluation.perplexity import measure_perplexity as measure_perplexity
    from evop_deap.evaluation.speed import measure_speed as measure_speed
    from evop_deap.evaluation.texts import EvaluationText as EvaluationText
    from evop_deap.evaluation.texts import read_text as read_text
    from evop_deap.evaluation.zero_shot import measure_tasks as measure_tasks

_HOMES = {
    "EvaluationConfig": "config",
    "EvaluationText": "texts",
    "measure_degeneracy": "degeneracy",
    "measure_perplexity": "perplexity",
    "measure_speed": "speed",
    "measure_tasks": "zero_shot",
    "peak_memory": "memory",
    "read_text": "texts",
    "run_evaluation": "evaluating",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evop_deap.evaluation' has no attribute '{name}'")
    return getattr(importlib.import_module(f"evop_deap.evaluation.{_HOMES[name]}"), name)
