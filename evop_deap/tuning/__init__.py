"""Optuna, one level up: studies of the evolution's own settings, and the search as a sampler.

Each name is imported when it is first touched, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evop_deap.tuning.objective import Objective as Objective
    from evop_deap.tuning.pattern_sampler import PatternSampler as PatternSampler
    from evop_deap.tuning.pattern_sampler import suggest_pattern as suggest_pattern
    from evop_deap.tuning.problems import Problem as Problem
    from evop_deap.tuning.problems import landscape_problem as landscape_problem
    from evop_deap.tuning.problems import model_problem as model_problem
    from evop_deap.tuning.settings_space import SettingsSpace as SettingsSpace

_HOMES = {
    "Objective": "objective",
    "PatternSampler": "pattern_sampler",
    "Problem": "problems",
    "SettingsSpace": "settings_space",
    "landscape_problem": "problems",
    "model_problem": "problems",
    "suggest_pattern": "pattern_sampler",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evop_deap.tuning' has no attribute '{name}'")
    return getattr(importlib.import_module(f"evop_deap.tuning.{_HOMES[name]}"), name)
