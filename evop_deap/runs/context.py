"""What every stage of a run is given."""

from __future__ import annotations

from dataclasses import dataclass

from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.search_evaluator import SearchEvaluator
from evop_deap.runs.storage.folder import RunFolder


@dataclass(frozen=True, eq=False)
class Context(Prepared):
    """What every stage of a run is given.

    Attributes:
        evaluator: evaluates patterns on the calibration windows and remembers them.
        folder: where everything of this budget is written.
        progress: told what is going on.
    """

    evaluator: SearchEvaluator
    folder: RunFolder
    progress: Progress
