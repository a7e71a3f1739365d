"""What a method makes of the model in a cell of the board, in memory.

Every cell pays for itself. Losses are not shared between cells, for what is taken from a cache
costs nothing, and a search that is limited by cost would then go on for longer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.board_cells import DENSE, Cell
from evop_deap.calibration import CalibrationSet
from evop_deap.evaluation.estimates import finite
from evop_deap.evolution.state import EvolutionState
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.models.anatomy.find_anatomy import Anatomy, find_anatomy
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.models.surgery.bypass import without_blocks
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.search_evaluator import open_judge
from evop_deap.runs.stages.find_pattern import find_pattern
from evop_deap.runs.stages.prepare import Subject, space_of
from evop_deap.runs.stages.validate import settle
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import dropped_units

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.loading.load_model import LoadedModel


@dataclass(frozen=True, eq=False)
class Bench:
    """What all cells share, loaded once.

    Attributes:
        loaded: the dense model.
        calibration: what every method is given.
        config: settings of every cell, but for what a cell says.
        anatomies: of the model, by granularity.
    """

    loaded: LoadedModel
    calibration: CalibrationSet
    config: SearchConfig
    anatomies: dict[str, Anatomy]

    @classmethod
    def of(
        cls,
        loaded: LoadedModel,
        calibration: CalibrationSet,
        config: SearchConfig,
        granularities: Sequence[str],
    ) -> Bench:
        """Find the model's parts.

        Raises:
            UnsupportedModelError: they cannot be told apart.
        """
        found = {name: find_anatomy(loaded.model, name) for name in {"block", *granularities}}
        return cls(loaded, calibration, config, found)

    def subject_of(self, cell: Cell) -> Subject:
        """What the cell's method is to prune.

        Raises:
            InputError: so much cannot be dropped.
        """
        anatomy = self.anatomies[cell.granularity]
        space = space_of(config_of(self.config, cell), model_units(anatomy))
        name = self.calibration.manifest["corpus"]["name"]
        # Nothing is shared by content, so that nobody asks for the model's fingerprint.
        return Subject(self.loaded, anatomy, space, "", name, self.calibration)


def config_of(config: SearchConfig, cell: Cell) -> SearchConfig:
    """The settings of a search or rule; only `max_cost` ends those that search.

    Raises:
        InputError: a value out of its bounds.
    """
    return config.replace(
        method=cell.method,
        sparsity=cell.sparsity,
        granularity=cell.granularity,
        seed=cell.seed,
        generations=None,
        cache=False,
    )


@dataclass(frozen=True, eq=False)
class Pruned:
    """What a method made of the model.

    Attributes:
        model: the pruned one, or the dense one itself.
        found: plain JSON values: what went, what that is worth on the calibration set, and what
            it took.
    """

    model: PreTrainedModel
    found: dict[str, Any]


def prune(bench: Bench, cell: Cell) -> Pruned:
    """Let the cell's method pick, and build what it picked in memory.

    Raises:
        EvopError: the method cannot do what is asked, or the model cannot be pruned exactly.
    """
    if cell.method == DENSE:
        return Pruned(bench.loaded.model, _dense(bench))
    config, subject = config_of(bench.config, cell), bench.subject_of(cell)
    began, cpu = time.monotonic(), time.process_time()
    with open_judge(config, subject, None, Progress()) as judge:
        state, merged = find_pattern(config, subject, judge, None, Progress(), _ignore)
        look = settle(config, subject, judge, state, merged=merged is not None)
        pattern = look.finalists[0].pattern
        spent = {
            "cost": round(state.cost + look.cost, 4),
            "evaluations": state.evaluations,
            "cut_short": len(state.eliminated),
            "seconds": round(time.monotonic() - began, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
            "stopped": state.stopped,
        }
        loss = finite(state.losses[pattern])
    dropped = dropped_units(pattern)
    with quiet_transformers():
        model = merged or without_blocks(bench.loaded.model, subject.anatomy, dropped)
    found = {
        "dropped": [subject.space.units[unit].name for unit in dropped],
        "merged": merged is not None,
        "units": len(pattern),
        "parameters": _parameters(bench) - sum(subject.space.units[u].parameters for u in dropped),
        "calibration_loss": loss,
        **spent,
    }
    return Pruned(model, found)


def _dense(bench: Bench) -> dict[str, Any]:
    anatomy = bench.anatomies["block"]
    evaluator = ReferenceEvaluator(
        bench.loaded.model, anatomy, bench.calibration.calibration.tokens
    )
    loss = float(evaluator.evaluate([(1,) * len(anatomy.blocks)]).losses[0])
    return {
        "dropped": [],
        "merged": False,
        "units": len(anatomy.blocks),
        "parameters": _parameters(bench),
        "calibration_loss": loss,
    }


def _parameters(bench: Bench) -> int:
    return sum(parameter.numel() for parameter in bench.loaded.model.parameters())


def _ignore(state: EvolutionState) -> None:
    """Nothing of a cell is written before it is finished."""
