"""The search space: all patterns that meet a budget and keep the protected units.

EvoP (arXiv 2502.14910) searches binary patterns over the decoder layers of a model. Here a pattern
is one 0/1 per unit with 1 = keep, and the budget sets how many units are dropped.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from evop_deap.base.errors import InputError
from evop_deap.space.allowances import Allowance, fitting
from evop_deap.space.constraints import Constraint, allowed, choose_allowed, count_allowed
from evop_deap.space.pairs import count_pairs, in_pairs, preferred_pairs
from evop_deap.space.pattern import Pattern, dropped_units
from evop_deap.space.unit import Unit, units_by_block
from evop_deap.space.unit_names import SUBLAYERS


@dataclass(frozen=True)
class SearchSpace:
    """All patterns over `units` that meet a budget and drop no protected unit.

    Args:
        units: the units, one for each gene.
        n_drop: number of units to drop; with allowances, the largest number.
        protected: positions of units that must be kept.
        allowances: the budget, if it is not a plain number of units; see `within`.
        pairs: units u that may be dropped together with u + 1; units are then dropped only in
            such pairs. Empty if units may be dropped one by one.
        constraints: units of which some must stay; see `constrained`.

    Example:
        >>> units = tuple(Unit(str(i), parameters=100, work=100) for i in range(4))
        >>> space = SearchSpace(units, n_drop=1, protected=frozenset({0}))
        >>> space.size, space.droppable, space.pattern([2])
        (3, (1, 2, 3), (1, 1, 0, 1))

    Raises:
        InputError: `n_drop` does not fit the number of droppable units.
    """

    units: tuple[Unit, ...]
    n_drop: int
    protected: frozenset[int] = frozenset()
    allowances: tuple[Allowance, ...] = ()
    pairs: frozenset[int] = frozenset()
    constraints: tuple[Constraint, ...] = ()

    @classmethod
    def within(
        cls,
        units: tuple[Unit, ...],
        allowances: tuple[Allowance, ...],
        protected: frozenset[int] = frozenset(),
    ) -> SearchSpace:
        """Return the space of patterns that meet all `allowances`, which cover disjoint units.

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
        free = sorted(set(range(len(units))) - out)
        filled = [len(a.fill(sorted(free, key=a.weights.__getitem__))) for a in allowances]
        for allowance, count in zip(allowances, filled, strict=True):
            if max(allowance.weights) == 1 and count < allowance.limit:
                raise InputError(
                    f"`protect` leaves {count} of the {allowance.limit} units that `budget` "
                    f"{allowance.name} drops: protect fewer, or lower the budget"
                )
        most = sum(filled)
        if not 0 < most < len(units):
            what = "none" if most == 0 else "all"
            kept = f", {len(protected)} of which `protect` keeps" if protected else ""
            raise InputError(
                f"`budget` drops {what} of {len(units)} units{kept}: choose another budget"
                f"{', or protect fewer' if protected else ''}"
            )
        for allowance in allowances:
            total = sum(allowance.weights)
            rest = fitting((allowance.weights[unit] for unit in free), allowance.limit)
            if rest < allowance.limit:
                raise InputError(
                    f"`protect` leaves units with a share of {100 * rest / total:.1f} %, but "
                    f"`budget` {allowance.name} drops up to {100 * allowance.limit / total:.1f} %: "
                    "protect fewer, or lower the budget"
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
                f"`repackable` drops halves in pairs of neighbours, but {self.n_drop} halves "
                "cannot be dropped so: choose another even number, or protect fewer"
            )
        if self.n_drop > len(self.droppable):
            raise InputError(
                f"`protect` leaves {len(self.droppable)} of {n_units} units, "
                f"fewer than the {self.n_drop} to drop: protect fewer or lower `sparsity`"
            )

    def constrained(self, constraints: Iterable[Constraint]) -> SearchSpace:
        """Return the space of those patterns that meet these constraints as well.

        A unit that must stay in any case becomes a protected one.

        Example:
            >>> units = tuple(Unit(str(i), 1, 1) for i in range(4))
            >>> space = SearchSpace(units, n_drop=2)
            >>> hybrid = space.constrained([Constraint(frozenset({1, 2}), least=1)])
            >>> hybrid.size, hybrid.greedy([2, 1, 0])
            (5, (0, 1, 0, 1))

        Raises:
            InputError: no pattern meets the budget and the constraints.
        """
        binding = [one for one in constraints if one.among(self.droppable).least > 0]
        if not binding:
            return self
        stay, rest = frozenset[int](), [one.among(self.droppable) for one in binding]
        while full := [one for one in rest if one.least >= len(one.units)]:
            stay |= frozenset().union(*(one.units for one in full))
            free = set(self.droppable) - stay
            rest = [one for c in rest if (one := c.among(free)).least > 0]
        reasons = "; ".join(one.reason for one in binding)
        try:
            protected = self.protected | stay
            if self.allowances:
                within = SearchSpace.within(self.units, self.allowances, protected)
                space = replace(within, constraints=tuple(rest))
            else:
                space = replace(self, protected=protected, constraints=tuple(rest))
            space.greedy(())
        except InputError as error:
            raise InputError(
                f"`sparsity` or `budget` drops more than this model can do without ({reasons}): "
                "lower it"
            ) from error
        return space

    @cached_property
    def droppable(self) -> tuple[int, ...]:
        """Positions of the units that may be dropped, in order."""
        free = (i for i in range(len(self.units)) if i not in self.protected)
        if not self.pairs:
            return tuple(free)
        return tuple(i for i in free if i in self.free_pairs or i - 1 in self.free_pairs)

    @cached_property
    def free_pairs(self) -> frozenset[int]:
        """The pairs of which neither unit is protected."""
        return frozenset(u for u in self.pairs if not {u, u + 1} & self.protected)

    @cached_property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the droppable halves, grouped by block; empty if units are whole blocks.

        A block is listed if both of its halves are droppable.
        """
        blocks = units_by_block(self.units, self.droppable).values()
        return tuple(units for units in blocks if len(units) == len(SUBLAYERS))

    @property
    def is_count(self) -> bool:
        """Whether the budget is a plain count: any `n_drop` droppable units meet it."""
        return not (self.allowances or self.pairs)

    @property
    def is_free(self) -> bool:
        """Whether any `n_drop` droppable units make a pattern of the space."""
        return self.is_count and not self.constraints

    @cached_property
    def line(self) -> tuple[int, ...]:
        """The droppable units in the order of neighbours: by allowance, then by position."""
        return tuple(
            unit
            for allowance in self.allowances or (None,)
            for unit in self.droppable
            if allowance is None or allowance.weights[unit]
        )

    @cached_property
    def size(self) -> int:
        """The number of patterns; `sys.maxsize` if there are too many to count.

        Patterns of a weight under constraints are not counted, and of constraints that share units
        or meet pairs, this is an upper bound.
        """
        if self.allowances and self.constraints:
            return sys.maxsize
        if self.is_count and self.constraints:
            found = count_allowed(len(self.droppable), self.n_drop, self.constraints)
            if found is not None:
                return found
        if self.pairs:
            return count_pairs(self.free_pairs, self.n_drop // 2)
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
        """Return the pattern that drops units in this order of preference within the budget.

        Units that do not fit are skipped. Droppable units missing from the order come last.
        """
        wished = [u for u in dict.fromkeys([*order, *self.droppable]) if u not in self.protected]
        dropped = choose_allowed(wished, self.constraints, self._filled)
        if dropped is None:
            raise InputError(f"`n_drop` ({self.n_drop}) leaves no pattern that meets constraints")
        return self.pattern(dropped)

    def _filled(self, wished: Sequence[int]) -> Sequence[int] | None:
        """Return the units to drop in this order of preference; None if there are too few."""
        if self.allowances:
            return [unit for a in self.allowances for unit in a.fill(wished)]
        if not self.pairs:
            return wished[: self.n_drop] if len(wished) >= self.n_drop else None
        free = set(wished)
        pairs = {u for u in self.free_pairs if {u, u + 1} <= free}
        found = preferred_pairs(wished, pairs, self.n_drop // 2)
        return found if len(found) == self.n_drop else None

    def random_pattern(self, rng: random.Random) -> Pattern:
        """Draw a pattern of the space.

        The draw is uniform for a plain count without constraints. Otherwise units are dropped in
        random order while they fit.
        """
        if not self.is_free:
            return self.greedy(rng.sample(self.droppable, len(self.droppable)))
        return self.pattern(rng.sample(self.droppable, self.n_drop))

    def fits(self, dropped: Sequence[int], unit: int) -> bool:
        """Whether the budget allows dropping `unit` in addition to the `dropped` ones."""
        wanted = {*dropped, unit}
        rest = [other for other in self.droppable if other not in wanted]
        pattern = self.greedy([*dropped, unit, *rest])
        return not any(pattern[one] for one in wanted)

    def __contains__(self, pattern: Sequence[int]) -> bool:
        if len(pattern) != len(self.units) or not set(pattern) <= {0, 1}:
            return False
        gone = dropped_units(pattern)
        if not (self.protected.isdisjoint(gone) and allowed(self.constraints, gone)):
            return False
        if not self.allowances:
            return len(gone) == self.n_drop and (not self.pairs or in_pairs(gone, self.pairs))
        # A unit that a constraint keeps does not fit, however much of the budget is left.
        kept = {u for u in self.droppable if not allowed(self.constraints, {*gone, u})}
        return all(a.met(gone, self.protected | kept) for a in self.allowances)
