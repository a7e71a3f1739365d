"""The patterns that a search may try: what is dropped meets a budget and is not protected.

EvoP (arXiv 2502.14910) searches binary patterns over the decoder layers of a model; here a
pattern is one 0/1 per unit with 1 = keep, and the budget says how many units must go.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from evop_deap.base.errors import InputError
from evop_deap.space.allowances import Allowance
from evop_deap.space.pairs import count_pairs, in_pairs, preferred_pairs
from evop_deap.space.pattern import Pattern, dropped_units
from evop_deap.space.unit import Unit, units_by_block


@dataclass(frozen=True)
class SearchSpace:
    """Every pattern over `units` that meets a budget and drops no protected unit.

    Args:
        units: what the genes switch.
        n_drop: how many units go; of a space with allowances, how many at the most.
        protected: positions of units that stay.
        allowances: what may go, where it is no plain number of units; see `within`.
        pairs: units u that may only go together with u + 1, or with u - 1 where that is one of
            them; empty where each unit may go alone.

    Example:
        >>> units = tuple(Unit(str(i), parameters=100, work=100) for i in range(4))
        >>> space = SearchSpace(units, n_drop=1, protected=frozenset({0}))
        >>> space.size, space.droppable, space.pattern([2])
        (3, (1, 2, 3), (1, 1, 0, 1))

    Raises:
        InputError: `n_drop` leaves nothing to search for among the droppable units.
    """

    units: tuple[Unit, ...]
    n_drop: int
    protected: frozenset[int] = frozenset()
    allowances: tuple[Allowance, ...] = ()
    pairs: frozenset[int] = frozenset()

    @classmethod
    def within(
        cls,
        units: tuple[Unit, ...],
        allowances: tuple[Allowance, ...],
        protected: frozenset[int] = frozenset(),
    ) -> SearchSpace:
        """The patterns that meet every one of `allowances`, which have no unit in common.

        Example:
            >>> units = (Unit("0.attn", 10, 10), Unit("0.mlp", 30, 30),
            ...          Unit("1.attn", 10, 10), Unit("1.mlp", 30, 30))
            >>> space = SearchSpace.within(
            ...     units, (Allowance("parameters", (10, 30, 10, 30), limit=40),))
            >>> space.size, space.greedy([0, 2, 1]), space.greedy([1, 2])
            (5, (0, 1, 0, 1), (1, 0, 0, 1))
        """
        out = protected | {
            unit for unit in range(len(units)) if not any(a.weights[unit] for a in allowances)
        }
        most = sum(
            len(a.fill(sorted(set(range(len(units))) - out, key=a.weights.__getitem__)))
            for a in allowances
        )
        return cls(units, most, out, allowances)

    def __post_init__(self) -> None:
        n_units = len(self.units)
        if not 0 < self.n_drop < n_units:
            raise InputError(
                f"`n_drop` must be between 1 and {n_units - 1} of {n_units} units, "
                f"but got {self.n_drop}"
            )
        if not self.protected <= set(range(n_units)):
            raise InputError(
                f"`protected` must hold positions below {n_units}, but got {sorted(self.protected)}"
            )
        if self.pairs and (self.n_drop % 2 or not self.size):
            raise InputError(
                f"`repackable` drops halves in pairs of neighbours, but {self.n_drop} of them "
                "cannot go so: choose another number, an even one, or protect fewer"
            )
        if self.n_drop > len(self.droppable):
            raise InputError(
                f"`protect` leaves {len(self.droppable)} of {n_units} units, "
                f"fewer than the {self.n_drop} to drop: protect fewer or lower `sparsity`"
            )

    @cached_property
    def droppable(self) -> tuple[int, ...]:
        """Positions of the units that may go, in order."""
        free = (i for i in range(len(self.units)) if i not in self.protected)
        if not self.pairs:
            return tuple(free)
        return tuple(i for i in free if i in self.pairs or i - 1 in self.pairs)

    @cached_property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """Of units that are less than a block, those that may go and make a block together."""
        blocks = units_by_block(self.units, self.droppable).values()
        return tuple(units for units in blocks if len(units) > 1)

    @property
    def is_count(self) -> bool:
        """Whether any units will do, as long as there are `n_drop` of them."""
        return not (self.allowances or self.pairs)

    @cached_property
    def line(self) -> tuple[int, ...]:
        """The droppable units as neighbours stand: in order, those of one allowance together."""
        return tuple(
            unit
            for allowance in self.allowances or (None,)
            for unit in self.droppable
            if allowance is None or allowance.weights[unit]
        )

    @cached_property
    def size(self) -> int:
        """How many patterns there are; `sys.maxsize` where they are too many to be counted."""
        if self.pairs:
            return count_pairs(self.pairs, self.n_drop // 2)
        if not self.allowances:
            return math.comb(len(self.droppable), self.n_drop)
        return min(sys.maxsize, math.prod(a.count(self.protected) for a in self.allowances))

    @property
    def dense(self) -> Pattern:
        """The pattern of the unpruned model."""
        return (1,) * len(self.units)

    def pattern(self, dropped: Iterable[int]) -> Pattern:
        """The pattern that drops the units at these positions."""
        gone = set(dropped)
        return tuple(0 if i in gone else 1 for i in range(len(self.units)))

    def greedy(self, order: Iterable[int]) -> Pattern:
        """The pattern that drops units in this order of preference, as far as the budget goes.

        A unit that no longer fits is passed over for those behind it; what the order does not
        name comes last.
        """
        wished = [u for u in dict.fromkeys([*order, *self.droppable]) if u not in self.protected]
        if self.pairs:
            return self.pattern(preferred_pairs(wished, self.pairs, self.n_drop // 2))
        if not self.allowances:
            return self.pattern(wished[: self.n_drop])
        return self.pattern(unit for a in self.allowances for unit in a.fill(wished))

    def random_pattern(self, rng: random.Random) -> Pattern:
        """A pattern drawn from the space.

        Uniformly, where the budget is a plain count; else units go in random order while they fit.
        """
        if not self.is_count:
            return self.greedy(rng.sample(self.droppable, len(self.droppable)))
        return self.pattern(rng.sample(self.droppable, self.n_drop))

    def fits(self, dropped: Sequence[int], unit: int) -> bool:
        """Whether the budget lets `unit` go once these are gone."""
        wanted = {*dropped, unit}
        rest = [other for other in self.droppable if other not in wanted]
        pattern = self.greedy([*dropped, unit, *rest])
        return not any(pattern[one] for one in wanted)

    def __contains__(self, pattern: Sequence[int]) -> bool:
        if len(pattern) != len(self.units) or not set(pattern) <= {0, 1}:
            return False
        gone = dropped_units(pattern)
        if not self.protected.isdisjoint(gone):
            return False
        if not self.allowances:
            return len(gone) == self.n_drop and (not self.pairs or in_pairs(gone, self.pairs))
        return all(a.met(gone, self.protected) for a in self.allowances)
