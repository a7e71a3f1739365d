"""Record a run as it progresses: a row of history and a checkpoint for each generation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from evop_deap.base.numbers import finite_or_none
from evop_deap.evolution.state import EvolutionState
from evop_deap.runs.context import Context
from evop_deap.runs.identity import identity
from evop_deap.runs.storage.checkpoint import Checkpoint, save_checkpoint
from evop_deap.runs.storage.heuristic_state import HeuristicState
from evop_deap.space import SearchSpace, dropped_units


class Recorder:
    """Stores each generation, and the outputs of the stages that follow.

    Args:
        context: the run.
        stored: checkpoint of an earlier process; None for a new run.
    """

    def __init__(self, context: Context, stored: Checkpoint | None) -> None:
        self._context = context
        self._identity = identity(context)
        self.last = stored

    def record(self, state: EvolutionState | HeuristicState) -> None:
        """Store a generation, and discard stored outputs of later stages."""
        context, evaluator = self._context, self._context.evaluator
        # The history first: resuming removes an extra row, but cannot restore a missing one.
        context.folder.append_history(_history_row(state, context.space))
        self._save(
            Checkpoint(
                identity=self._identity,
                rows=evaluator.cached.rows,
                tokens=evaluator.cached.tokens,
                dense_cost=evaluator.dense_cost,
                dense_executed=evaluator.dense_executed,
                kept=evaluator.kept.names,
                kept_alone=evaluator.kept_alone.names if evaluator.kept_alone else (),
                state=state,
            )
        )
        # Share losses only now: a resumed run must not find losses that it has not recorded.
        evaluator.release()

    def remember(self, stage: str, output: Any) -> None:
        """Store the output of a stage, as plain JSON values."""
        if self.last is not None:
            self._save(replace(self.last, outputs={**self.last.outputs, stage: output}))
        self._context.evaluator.release()

    def forget_after(self, stage: str, output: Any) -> None:
        """Store another output of the first stage, and discard those of the stages after it."""
        if self.last is not None:
            self._save(replace(self.last, outputs={stage: output}))

    def output_of(self, stage: str) -> Any:
        """Return the stored output of the stage of this name, or None."""
        return None if self.last is None else self.last.outputs.get(stage)

    def _save(self, checkpoint: Checkpoint) -> None:
        save_checkpoint(self._context.folder.checkpoint, checkpoint)
        self.last = checkpoint


def _history_row(state: EvolutionState | HeuristicState, space: SearchSpace) -> dict[str, Any]:
    """Return the logbook's last row with the best pattern and the count of drops of each unit."""
    row = {name: finite_or_none(value) for name, value in state.records[-1].items()}
    dropped = [space.units[i].name for i in dropped_units(state.best.pattern)]
    drops = {
        unit.name: sum(1 - genome[place] for genome in state.population)
        for place, unit in enumerate(space.units)
    }
    return {**row, "dropped": dropped, "drops": drops, "seconds": round(state.seconds, 3)}
