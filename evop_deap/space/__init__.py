"""Units, budgets, and the patterns that meet a budget."""

from __future__ import annotations

from evop_deap.space.budget import units_to_drop
from evop_deap.space.constraints import Constraint
from evop_deap.space.pattern import Pattern, dropped_units, kept_units
from evop_deap.space.search_space import SearchSpace
from evop_deap.space.unit import Unit, units_named

__all__ = [
    "Constraint",
    "Pattern",
    "SearchSpace",
    "Unit",
    "dropped_units",
    "kept_units",
    "units_named",
    "units_to_drop",
]
