"""The input of every stage of a run."""

from __future__ import annotations

from dataclasses import dataclass

from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.search_evaluator import SearchEvaluator
from evop_deap.runs.storage.folder import RunFolder


@dataclass(frozen=True, eq=False)
class Context(Prepared):
    """The input of every stage of a run.

    Attributes:
        evaluator: evaluates patterns on the calibration windows and caches their losses.
        folder: folder of this budget.
        progress: receives progress messages.
    """

    evaluator: SearchEvaluator
    folder: RunFolder
    progress: Progress
