"""Pruning of the model by the method of a cell, in memory.

Cells do not share losses: cached losses cost nothing, and a search with a limit on cost would run
for longer.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.board.making.cells import DENSE, Cell
from evop_deap.base.numbers import finite_or_none
from evop_deap.calibration import CalibrationSet
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.models.streaming.streamed_weights import stream_like
from evop_deap.models.surgery.repacking import without_blocks
from evop_deap.recovery.compensation.changed_weights import written
from evop_deap.runs.compensating import search_compensator
from evop_deap.runs.context import Context
from evop_deap.runs.draw_questions import QuestionSet
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.search_evaluator import open_evaluator
from evop_deap.runs.stages.current_model import current_model
from evop_deap.runs.stages.prepare import space_of
from evop_deap.runs.stages.recover import compensate_pattern
from evop_deap.runs.stages.search_patterns import search_patterns
from evop_deap.runs.stages.validate import validate
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import SearchSpace, dropped_units

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.loading.load_model import LoadedModel


@dataclass(frozen=True, eq=False)
class Bench:
    """The model, text and settings that all cells share.

    Attributes:
        loaded: the dense model.
        calibration: the calibration set of all methods.
        config: the settings that do not depend on the cell.
        anatomies: the anatomies of the model, by granularity.
        questions: the questions of a fitness that asks some.
    """

    loaded: LoadedModel
    calibration: CalibrationSet
    config: SearchConfig
    anatomies: dict[str, Anatomy]
    questions: QuestionSet | None = None

    @classmethod
    def of(
        cls,
        loaded: LoadedModel,
        calibration: CalibrationSet,
        config: SearchConfig,
        granularities: Sequence[str],
        questions: QuestionSet | None = None,
    ) -> Bench:
        """Find the model's parts at each granularity.

        Raises:
            UnsupportedModelError: the parts cannot be separated.
        """
        found = {name: find_anatomy(loaded.model, name) for name in {"block", *granularities}}
        return cls(loaded, calibration, config, found, questions)

    def limited(self, max_cost: float) -> Bench:
        """Return the same with another limit on the cost of methods that search."""
        return replace(self, config=self.config.replace(max_cost=max_cost))

    def space_for(self, cell: Cell) -> SearchSpace:
        """Return the search space of a cell.

        Raises:
            InputError: the budget cannot be met.
        """
        units = model_units(self.anatomies[cell.granularity])
        return space_of(config_of(self.config, cell), units)

    def prepared_for(self, cell: Cell) -> Prepared:
        """Prepare the model and the search space for a cell's method.

        Raises:
            InputError: the budget cannot be met.
        """
        anatomy = self.anatomies[cell.granularity]
        config = config_of(self.config, cell)
        space = self.space_for(cell)
        text = self.calibration
        compensator = search_compensator(config, self.loaded, anatomy, text, space.n_drop)
        return Prepared(
            config,
            self.loaded,
            anatomy,
            space,
            fingerprint="",  # losses are not shared, so it is not needed
            corpus=text.manifest["corpus"]["name"],
            text=text,
            compensator=compensator,
            questions=self.questions,
        )


def config_of(config: SearchConfig, cell: Cell) -> SearchConfig:
    """The settings of a cell's method; only `max_cost` limits methods that search.

    Raises:
        InputError: a value is out of bounds.
    """
    return config.replace(
        method=cell.method,
        sparsity=(cell.sparsity,),
        granularity=cell.granularity,
        seed=cell.seed,
        generations=None,
        cache=False,
    )


def prune(bench: Bench, cell: Cell) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Run the cell's method and build the pruned model in memory.

    Returns:
        The pruned model, the dense one for the method "dense"; and plain JSON values: the dropped
        units, calibration losses and costs.

    Raises:
        EvopError: the method fails, or the model cannot be pruned exactly.
    """
    if cell.method == DENSE:
        return bench.loaded.model, _dense(bench)
    prepared = bench.prepared_for(cell)
    units = prepared.space.units
    began, cpu = time.monotonic(), time.process_time()
    with open_evaluator(prepared, None, Progress()) as evaluator:
        # Nothing of a cell is written before it is finished.
        context = Context(
            **vars(prepared), evaluator=evaluator, folder=RunFolder(Path()), progress=Progress()
        )
        found = search_patterns(context, None, lambda state: None)
        outputs = Outputs(found)
        validated = validate(context, outputs)
        compensated = compensate_pattern(context, outputs.and_then(validated))
        recovery = compensated.about or {"cost": 0.0}
        spent = {
            "cost": round(found.cost + validated.cost + recovery["cost"], 4),
            "search_cost": round(found.cost + validated.cost, 4),
            "evaluations": found.evaluations,
            "cut_short": found.eliminated,
            "seconds": round(time.monotonic() - began, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
            "stopped": found.stopped,
        }
        pruned = current_model(context, outputs.and_then(validated).and_then(compensated))
    dropped = dropped_units(validated.pattern)
    with quiet_transformers(), written(pruned.changes):
        model = without_blocks(pruned.model, pruned.anatomy, pruned.dropped)
    stream_like(pruned.model, model)
    told = {
        "dropped": [units[unit].name for unit in dropped],
        "merged": found.pruned is not None,
        "compensated": compensated.taken,
        "units": len(units),
        "parameters": _parameters(bench) - sum(units[unit].parameters for unit in dropped),
        "calibration_loss": finite_or_none(found.losses[validated.pattern]),
        **spent,
    }
    return model, told


def pruned_before(bench: Bench, cell: Cell, dropped: Collection[str]) -> PreTrainedModel:
    """Build the pruned model of a cell once more; the dense one for the method "dense".

    Args:
        bench: the model.
        cell: the cell.
        dropped: names of the units that its method has dropped.
    """
    if cell.method == DENSE:
        return bench.loaded.model
    anatomy = bench.anatomies[cell.granularity]
    gone = [place for place, part in enumerate(anatomy.parts) if part.name in dropped]
    with quiet_transformers():
        model = without_blocks(bench.loaded.model, anatomy, gone)
    stream_like(bench.loaded.model, model)
    return model


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
