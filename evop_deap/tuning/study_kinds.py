"""Names of what there is to choose from in a study."""

from __future__ import annotations

from collections.abc import Mapping

MEASURES = ("regret", "area", "evaluations", "regret-cost")
"""What a trial returns; the last has two values."""

REPORTS = ("none", "instances", "steps")
"""What a pruner hears of: nothing, the value of each instance, the mean regret after each step."""

SAMPLERS = ("tpe", "random", "gp", "nsgaii", "qmc")
"""Optuna's, those that need nothing else to be installed."""

PRUNERS: Mapping[str, str] = {
    "none": "none",
    "wilcoxon": "instances",
    "hyperband": "steps",
    "halving": "steps",
    "median": "steps",
}
"""Optuna's, each with what it must hear of."""
