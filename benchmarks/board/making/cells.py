"""The cells of the board: each is a method, a budget, a granularity and a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.heuristics.registry import METHODS
from evop_deap.settings.heuristic_names import SEARCH

DENSE = "dense"
ALL = (SEARCH, *METHODS)
_RANDOM = {SEARCH, "random", *(name for name, method in METHODS.items() if method.searches)}


@dataclass(frozen=True)
class Cell:
    """One run of the board.

    Attributes:
        method: `search`, a heuristic, or `dense`, which drops nothing.
        sparsity: share of the units to drop.
        granularity: what a unit is: "block" or "half".
        seed: of everything that is random in the method.

    Example:
        >>> Cell("sleb", 0.2, "block", 0).name
        'block-0.2-sleb-0'
    """

    method: str
    sparsity: float
    granularity: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its file."""
        if self.method == DENSE:
            return DENSE
        return f"{self.granularity}-{self.sparsity:g}-{self.method}-{self.seed}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def cells_of(
    methods: Sequence[str], sparsities: Sequence[float], granularities: Sequence[str], seeds: int
) -> list[Cell]:
    """Return the cells of a board: the dense model, then every method.

    All cells of the first seed come before any of the second. Deterministic methods get one seed.
    Methods that are not defined for a granularity are left out.

    Raises:
        InputError: a method is unknown, there is no seed, or there is nothing to run.
    """
    if unknown := [method for method in methods if method not in ALL]:
        raise InputError(f"`methods` must be of {', '.join(ALL)}, but got {' '.join(unknown)}")
    if seeds < 1:
        raise InputError(f"`seeds` must be at least 1, but got {seeds}")
    cells = [
        Cell(method, sparsity, granularity, seed)
        for seed in range(seeds)
        for sparsity in sparsities
        for granularity in granularities
        for method in methods
        if (method == SEARCH or granularity in METHODS[method].granularities)
        and (seed == 0 or method in _RANDOM)
    ]
    if not cells:
        raise InputError(
            f"`methods` {' '.join(methods)} are not defined for `granularity` "
            f"{' '.join(granularities)}"
        )
    return [Cell(DENSE, 0.0, "block", 0), *dict.fromkeys(cells)]
