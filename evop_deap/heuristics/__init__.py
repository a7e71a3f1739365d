"""Published rules that pick a pattern, one a file, behind one face.

`METHODS` names them; each takes a `Task` and gives a `Pick`. Rules that need nothing but losses
run on a landscape's table as well as on a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.registry import METHODS, method_named

if TYPE_CHECKING:
    from evop_deap.heuristics.task import ModelParts as ModelParts
    from evop_deap.heuristics.task import Pick as Pick
    from evop_deap.heuristics.task import Task as Task

__all__ = ["METHODS", "Heuristic", "ModelParts", "Pick", "Task", "method_named"]


def __getattr__(name: str) -> Any:
    # The command line asks for names alone: what needs NumPy waits until it is touched.
    if name in ("ModelParts", "Pick", "Task"):
        from evop_deap.heuristics import task

        return getattr(task, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
