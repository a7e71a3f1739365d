"""Settings of a budget that do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.settings.heuristic_names import SEARCH


def check_budget(settings: Mapping[str, Any]) -> None:
    """Refuse settings of a budget that contradict each other.

    Args:
        settings: those of a search, by name.

    Raises:
        InputError: two settings do.
    """
    sparsity, budget = settings["sparsity"], settings["budget"]
    repackable, searches = settings["repackable"], settings["method"] == SEARCH
    if bool(sparsity) == (budget is not None):
        given = "neither" if budget is None else "both"
        raise InputError(
            f"one of `sparsity` and `budget` must be given, but got {given}: "
            "--sparsity 0.2 drops a fifth of the units, --budget parameters=0.2 units with "
            "a fifth of the parameters"
        )
    if repackable and (settings["granularity"] != "half" or budget is not None):
        raise InputError("`repackable` needs --granularity half, and a budget by --sparsity")
    if settings["pareto"] != "none" and (budget is not None or repackable or not searches):
        raise InputError(
            "`pareto` takes its points from --sparsity and cannot be combined with --budget, "
            "--repackable or --method"
        )
