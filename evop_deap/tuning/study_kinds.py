"""Names of the measures, reports, samplers and pruners of a study."""

from __future__ import annotations

from collections.abc import Mapping

MEASURES = ("regret", "area", "evaluations", "regret-cost")
"""Values of a trial; the last has two values."""

REPORTS = ("none", "instances", "steps")
"""Reports to a pruner: none, the value of each instance, or the mean regret after each step."""

SAMPLERS = ("tpe", "random", "gp", "nsgaii", "qmc")
"""Optuna's samplers that need no further package."""

PRUNERS: Mapping[str, str] = {
    "none": "none",
    "wilcoxon": "instances",
    "hyperband": "steps",
    "halving": "steps",
    "median": "steps",
}
"""Optuna's pruners, each with the reports that it needs."""
