"""What is written down while a search goes on: a row and a checkpoint each generation."""

from __future__ import annotations

from typing import Any

from evop_deap.base.numbers import finite_or_none
from evop_deap.evolution.callbacks import Callback
from evop_deap.evolution.state import EvolutionState
from evop_deap.runs.storage.checkpoint import Checkpoint, save_checkpoint
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.search_evaluator import Judge
from evop_deap.space import SearchSpace, dropped_units


def recording(
    folder: RunFolder, run_identity: dict[str, Any], judge: Judge, space: SearchSpace
) -> Callback:
    """A callback that writes down each generation."""

    def record(state: EvolutionState) -> None:
        # The history first: a row too many is cut on resuming, a missing one would stay so.
        folder.append_history(_history_row(state, space))
        checkpoint = Checkpoint(
            run_identity, judge.evaluator.rows, judge.dense_cost, judge.kept.names, state
        )
        save_checkpoint(folder.checkpoint, checkpoint)
        # Others may have it only now: a resumed run must not find what it has not recorded.
        judge.release()

    return record


def _history_row(state: EvolutionState, space: SearchSpace) -> dict[str, Any]:
    """The logbook's row of the last generation, its best pattern, and how many drop each unit."""
    row = {
        name: finite_or_none(value) for name, value in state.records[-1].items()
    }
    dropped = [space.units[i].name for i in dropped_units(state.best.pattern)]
    drops = {
        unit.name: sum(1 - genome[place] for genome in state.population)
        for place, unit in enumerate(space.units)
    }
    return {**row, "dropped": dropped, "drops": drops, "seconds": round(state.seconds, 3)}
