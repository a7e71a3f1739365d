"""Published heuristics that pick a pattern, one a file, with one interface.

`METHODS` holds them by name; each maps a `Task` to a `Pick`. Heuristics that need only losses run
on a landscape's table as well as on a model.
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
    # The command line needs only names, so modules that import NumPy are loaded on first use.
    if name in ("ModelParts", "Pick", "Task"):
        from evop_deap.heuristics import task

        return getattr(task, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
