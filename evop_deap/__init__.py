"""EvoP (arXiv 2502.14910): evolutionary layer pruning of large language models, on DEAP.

The names below are what a DEAP, Optuna or transformers user needs; each is imported when it
is first touched, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evop_deap.config import CalibrationConfig as CalibrationConfig
    from evop_deap.config import SearchConfig as SearchConfig
    from evop_deap.errors import EvopError as EvopError
    from evop_deap.evolution import evolve as evolve
    from evop_deap.evolution_state import Choice as Choice
    from evop_deap.evolution_state import EvolutionSettings as EvolutionSettings
    from evop_deap.evolution_state import EvolutionState as EvolutionState
    from evop_deap.fitness.cache import CachedEvaluator as CachedEvaluator
    from evop_deap.fitness.evaluation import Evaluation as Evaluation
    from evop_deap.fitness.evaluation import Work as Work
    from evop_deap.fitness.landscape import Landscape as Landscape
    from evop_deap.fitness.landscape import load_landscape as load_landscape
    from evop_deap.fitness.landscape import save_landscape as save_landscape
    from evop_deap.fitness.population import PopulationEvaluator as PopulationEvaluator
    from evop_deap.fitness.reference import ReferenceEvaluator as ReferenceEvaluator
    from evop_deap.fitness.tabular import TabularEvaluator as TabularEvaluator
    from evop_deap.genome import Genome as Genome
    from evop_deap.models.anatomy import find_anatomy as find_anatomy
    from evop_deap.models.export import export_checkpoint as export_checkpoint
    from evop_deap.models.loading import load_model as load_model
    from evop_deap.models.surgery import bypassed as bypassed
    from evop_deap.models.units import model_units as model_units
    from evop_deap.racing import Racing as Racing
    from evop_deap.racing import race as race
    from evop_deap.run.budgets import run_budgets as run_budgets
    from evop_deap.run.calibration_folder import run_calibration as run_calibration
    from evop_deap.run.curve import Curve as Curve
    from evop_deap.run.exporting import export_run as export_run
    from evop_deap.run.front import run_front as run_front
    from evop_deap.run.pipeline import run_search as run_search
    from evop_deap.run.pruning import apply_pattern as apply_pattern
    from evop_deap.run.reading import Run as Run
    from evop_deap.run.reading import load_run as load_run
    from evop_deap.run.result import SearchResult as SearchResult
    from evop_deap.space import SearchSpace as SearchSpace
    from evop_deap.space import Unit as Unit
    from evop_deap.stopping import Stopping as Stopping
    from evop_deap.toolbox import make_toolbox as make_toolbox
    from evop_deap.tuning.objective import Objective as Objective
    from evop_deap.tuning.pattern_sampler import PatternSampler as PatternSampler
    from evop_deap.tuning.pattern_sampler import suggest_pattern as suggest_pattern
    from evop_deap.tuning.problems import Problem as Problem
    from evop_deap.tuning.problems import landscape_problem as landscape_problem
    from evop_deap.tuning.settings_space import SettingsSpace as SettingsSpace

_HOMES = {
    "CalibrationConfig": "config",
    "CachedEvaluator": "fitness.cache",
    "Choice": "evolution_state",
    "Curve": "run.curve",
    "Evaluation": "fitness.evaluation",
    "EvolutionSettings": "evolution_state",
    "EvolutionState": "evolution_state",
    "EvopError": "errors",
    "Genome": "genome",
    "Landscape": "fitness.landscape",
    "Objective": "tuning.objective",
    "PatternSampler": "tuning.pattern_sampler",
    "PopulationEvaluator": "fitness.population",
    "Problem": "tuning.problems",
    "Racing": "racing",
    "ReferenceEvaluator": "fitness.reference",
    "Run": "run.reading",
    "SearchConfig": "config",
    "SearchResult": "run.result",
    "SearchSpace": "space",
    "SettingsSpace": "tuning.settings_space",
    "Stopping": "stopping",
    "TabularEvaluator": "fitness.tabular",
    "Unit": "space",
    "Work": "fitness.evaluation",
    "apply_pattern": "run.pruning",
    "bypassed": "models.surgery",
    "evolve": "evolution",
    "export_checkpoint": "models.export",
    "export_run": "run.exporting",
    "find_anatomy": "models.anatomy",
    "model_units": "models.units",
    "landscape_problem": "tuning.problems",
    "load_landscape": "fitness.landscape",
    "load_model": "models.loading",
    "load_run": "run.reading",
    "make_toolbox": "toolbox",
    "race": "racing",
    "run_budgets": "run.budgets",
    "run_calibration": "run.calibration_folder",
    "run_front": "run.front",
    "run_search": "run.pipeline",
    "save_landscape": "fitness.landscape",
    "suggest_pattern": "tuning.pattern_sampler",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evop_deap' has no attribute '{name}'")
    return getattr(importlib.import_module(f"evop_deap.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
