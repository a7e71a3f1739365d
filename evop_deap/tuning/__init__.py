"""Optuna studies of the evolution's settings, and the search as an Optuna sampler.

Names are imported on first use, so the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from evop_deap.tuning.objective import Objective as Objective
    from evop_deap.tuning.pattern_sampler import PatternSampler as PatternSampler
    from evop_deap.tuning.pattern_sampler import suggest_pattern as suggest_pattern
    from evop_deap.tuning.problems import Problem as Problem
    from evop_deap.tuning.problems import landscape_problem as landscape_problem
    from evop_deap.tuning.problems import model_problem as model_problem
    from evop_deap.tuning.settings_space import SettingsSpace as SettingsSpace

_HOMES = {
    "Objective": "tuning.objective",
    "PatternSampler": "tuning.pattern_sampler",
    "Problem": "tuning.problems",
    "SettingsSpace": "tuning.settings_space",
    "landscape_problem": "tuning.problems",
    "model_problem": "tuning.problems",
    "suggest_pattern": "tuning.pattern_sampler",
}

__all__ = sorted(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
