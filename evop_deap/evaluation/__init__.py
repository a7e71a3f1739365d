"""Evaluation of a finished model: perplexity, zero-shot tasks, speed, memory, degeneracy.

Each measurement is a function of a model and its input that returns a frozen dataclass. Names are
imported on first use, so the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from evop_deap.evaluation.arithmetic import measure_arithmetic as measure_arithmetic
    from evop_deap.evaluation.degeneracy import measure_degeneracy as measure_degeneracy
    from evop_deap.evaluation.evaluating import run_evaluation as run_evaluation
    from evop_deap.evaluation.memory import peak_memory as peak_memory
    from evop_deap.evaluation.perplexity import measure_perplexity as measure_perplexity
    from evop_deap.evaluation.speed import measure_speed as measure_speed
    from evop_deap.evaluation.zero_shot import measure_tasks as measure_tasks
    from evop_deap.settings.evaluation_config import EvaluationConfig as EvaluationConfig
    from evop_deap.text.whole_texts import EvaluationText as EvaluationText
    from evop_deap.text.whole_texts import read_text as read_text

_HOMES = {
    "EvaluationConfig": "settings.evaluation_config",
    "EvaluationText": "text.whole_texts",
    "measure_arithmetic": "evaluation.arithmetic",
    "measure_degeneracy": "evaluation.degeneracy",
    "measure_perplexity": "evaluation.perplexity",
    "measure_speed": "evaluation.speed",
    "measure_tasks": "evaluation.zero_shot",
    "peak_memory": "evaluation.memory",
    "read_text": "text.whole_texts",
    "run_evaluation": "evaluation.evaluating",
}

__all__ = sorted(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
