"""What one gene switches, what must go, and the patterns that meet the budget."""

from __future__ import annotations

from evop_deap.space.search_space import (
    Pattern,
    SearchSpace,
    Unit,
    dropped_units,
    kept_units,
    units_named,
    units_to_drop,
)

__all__ = [
    "Pattern",
    "SearchSpace",
    "Unit",
    "dropped_units",
    "kept_units",
    "units_named",
    "units_to_drop",
]
