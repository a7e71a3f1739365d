"""EvoP (arXiv 2502.14910): evolutionary layer pruning of large language models, on DEAP.

Each public name is imported on first use, so importing the package is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from evop_deap.base.errors import EvopError as EvopError
    from evop_deap.evolution.assemble import assemble as assemble
    from evop_deap.evolution.genome import Genome as Genome
    from evop_deap.evolution.loop import evolve as evolve
    from evop_deap.evolution.operators import WithinBudget as WithinBudget
    from evop_deap.evolution.operators import init_distinct as init_distinct
    from evop_deap.evolution.operators import init_uniform as init_uniform
    from evop_deap.evolution.operators import mate_agreeing as mate_agreeing
    from evop_deap.evolution.operators import mutate_block as mutate_block
    from evop_deap.evolution.operators import mutate_mixed as mutate_mixed
    from evop_deap.evolution.operators import mutate_neighbour as mutate_neighbour
    from evop_deap.evolution.operators import mutate_resize as mutate_resize
    from evop_deap.evolution.operators import mutate_swap as mutate_swap
    from evop_deap.evolution.operators import select_crowded as select_crowded
    from evop_deap.evolution.operators import select_tournament as select_tournament
    from evop_deap.evolution.parameters import EvolutionSettings as EvolutionSettings
    from evop_deap.evolution.racing import Racing as Racing
    from evop_deap.evolution.racing import race as race
    from evop_deap.evolution.state import EvolutionState as EvolutionState
    from evop_deap.evolution.stopping import Stopping as Stopping
    from evop_deap.evolution.strategies import Choice as Choice
    from evop_deap.evolution.strategies import Strategies as Strategies
    from evop_deap.evolution.toolbox import make_toolbox as make_toolbox
    from evop_deap.fitness.cached import CachedEvaluator as CachedEvaluator
    from evop_deap.fitness.landscape import Landscape as Landscape
    from evop_deap.fitness.landscape import load_landscape as load_landscape
    from evop_deap.fitness.landscape import save_landscape as save_landscape
    from evop_deap.fitness.model.population import PopulationEvaluator as PopulationEvaluator
    from evop_deap.fitness.model.reference import ReferenceEvaluator as ReferenceEvaluator
    from evop_deap.fitness.model.streamed import StreamedEvaluator as StreamedEvaluator
    from evop_deap.fitness.plain_function import FunctionEvaluator as FunctionEvaluator
    from evop_deap.fitness.protocol import Evaluation as Evaluation
    from evop_deap.fitness.protocol import Work as Work
    from evop_deap.fitness.tabular import TabularEvaluator as TabularEvaluator
    from evop_deap.models.anatomy.find_anatomy import find_anatomy as find_anatomy
    from evop_deap.models.anatomy.model_units import model_units as model_units
    from evop_deap.models.export.export_checkpoint import export_checkpoint as export_checkpoint
    from evop_deap.models.loading.load_model import load_model as load_model
    from evop_deap.models.surgery.bypass import bypassed as bypassed
    from evop_deap.runs.apply_pattern import apply_pattern as apply_pattern
    from evop_deap.runs.calibration_folder import run_calibration as run_calibration
    from evop_deap.runs.export_run import export_run as export_run
    from evop_deap.runs.run_search import run_budgets as run_budgets
    from evop_deap.runs.run_search import run_front as run_front
    from evop_deap.runs.run_search import run_search as run_search
    from evop_deap.runs.storage.curve import Curve as Curve
    from evop_deap.runs.storage.loaded_run import Run as Run
    from evop_deap.runs.storage.loaded_run import load_run as load_run
    from evop_deap.runs.storage.result import SearchResult as SearchResult
    from evop_deap.settings.calibration_config import CalibrationConfig as CalibrationConfig
    from evop_deap.settings.search_config import SearchConfig as SearchConfig
    from evop_deap.space import SearchSpace as SearchSpace
    from evop_deap.space import Unit as Unit
    from evop_deap.tuning.objective import Objective as Objective
    from evop_deap.tuning.pattern_sampler import PatternSampler as PatternSampler
    from evop_deap.tuning.pattern_sampler import suggest_pattern as suggest_pattern
    from evop_deap.tuning.problems import Problem as Problem
    from evop_deap.tuning.problems import landscape_problem as landscape_problem
    from evop_deap.tuning.settings_space import SettingsSpace as SettingsSpace

_HOMES = {
    "CachedEvaluator": "fitness.cached",
    "CalibrationConfig": "settings.calibration_config",
    "Choice": "evolution.strategies",
    "Curve": "runs.storage.curve",
    "Evaluation": "fitness.protocol",
    "EvolutionSettings": "evolution.parameters",
    "EvolutionState": "evolution.state",
    "EvopError": "base.errors",
    "FunctionEvaluator": "fitness.plain_function",
    "Genome": "evolution.genome",
    "Landscape": "fitness.landscape",
    "Objective": "tuning.objective",
    "PatternSampler": "tuning.pattern_sampler",
    "PopulationEvaluator": "fitness.model.population",
    "Problem": "tuning.problems",
    "Racing": "evolution.racing",
    "ReferenceEvaluator": "fitness.model.reference",
    "Run": "runs.storage.loaded_run",
    "SearchConfig": "settings.search_config",
    "SearchResult": "runs.storage.result",
    "SearchSpace": "space.search_space",
    "SettingsSpace": "tuning.settings_space",
    "Stopping": "evolution.stopping",
    "StreamedEvaluator": "fitness.model.streamed",
    "Strategies": "evolution.strategies",
    "TabularEvaluator": "fitness.tabular",
    "Unit": "space.unit",
    "WithinBudget": "evolution.operators",
    "Work": "fitness.protocol",
    "apply_pattern": "runs.apply_pattern",
    "assemble": "evolution.assemble",
    "bypassed": "models.surgery.bypass",
    "evolve": "evolution.loop",
    "export_checkpoint": "models.export.export_checkpoint",
    "export_run": "runs.export_run",
    "find_anatomy": "models.anatomy.find_anatomy",
    "init_distinct": "evolution.operators",
    "init_uniform": "evolution.operators",
    "landscape_problem": "tuning.problems",
    "load_landscape": "fitness.landscape",
    "load_model": "models.loading.load_model",
    "load_run": "runs.storage.loaded_run",
    "make_toolbox": "evolution.toolbox",
    "mate_agreeing": "evolution.operators",
    "model_units": "models.anatomy.model_units",
    "mutate_block": "evolution.operators",
    "mutate_mixed": "evolution.operators",
    "mutate_neighbour": "evolution.operators",
    "mutate_resize": "evolution.operators",
    "mutate_swap": "evolution.operators",
    "race": "evolution.racing",
    "run_budgets": "runs.run_search",
    "run_calibration": "runs.calibration_folder",
    "run_front": "runs.run_search",
    "run_search": "runs.run_search",
    "save_landscape": "fitness.landscape",
    "select_crowded": "evolution.operators",
    "select_tournament": "evolution.operators",
    "suggest_pattern": "tuning.pattern_sampler",
}

__all__ = sorted(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
