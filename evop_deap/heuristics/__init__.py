"""Published rules that pick a pattern, one a file, behind one face.

`METHODS` names them; each takes a `Task` and gives a `Pick`. Rules that need nothing but losses
run on a landscape's table as well as on a model.
"""

from __future__ import annotations

from evop_deap.heuristics.registry import METHODS, Method, method_named
from evop_deap.heuristics.task import ModelParts, Pick, Task

__all__ = ["METHODS", "Method", "ModelParts", "Pick", "Task", "method_named"]
