"""Rehearsal of the removal of sets of units: which kinds of block a model cannot do without.

A hybrid generates with a cache only if it keeps at least one of its attention blocks, though each
of them may go. Such a property shows only when all blocks of a kind are removed together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.base.formatting import listed
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.surgery.image_blocks import image_blocks
from evop_deap.models.surgery.kinds import kinds_of
from evop_deap.models.surgery.rehearsal import check_removable
from evop_deap.space import Constraint
from evop_deap.space.unit_names import ATTENTION, BLOCK, MLP

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MOST_KEPT = 2  # where more than this must stay, what fails is no matter of numbers


@dataclass(frozen=True)
class _UnitSet:
    """Units that are removed together, and those of them of which some must stay if that fails."""

    name: str
    removed: tuple[int, ...]
    kept: tuple[int, ...]


def find_constraints(
    model: PreTrainedModel,
    anatomy: Anatomy,
    droppable: Collection[int],
    n_drop: int,
    check: Callable[[Collection[int]], object] | None = None,
) -> tuple[Constraint, ...]:
    """Return the kinds of units of which the model needs some, found by removing sets of them.

    Blocks behind which features of an image are added must all stay; see `image_blocks`.

    Of each kind, all units are removed on a few tokens, then all but the first or all but the last
    one, and so on until one of these works.

    Args:
        model: the dense model.
        anatomy: its anatomy, at the granularity of the units.
        droppable: positions of the units that may be dropped.
        n_drop: the largest number of units that a pattern drops; larger sets are not removed.
        check: raises `UnsupportedModelError` if these units cannot be removed; by default
            `check_removable`.
    """
    check = check or partial(check_removable, model, anatomy)
    found = list(image_blocks(model, anatomy))
    # The smallest first: a set that holds another one fails with it.
    for units in sorted(_sets(model, anatomy), key=lambda units: len(units.removed)):
        rehearsal = _Rehearsal(check, anatomy, n_drop, tuple(found))
        constraint = _constraint(rehearsal, units, droppable)
        if constraint is not None:
            found.append(constraint)
    return tuple(found)


def _sets(model: PreTrainedModel, anatomy: Anatomy) -> Iterator[_UnitSet]:
    """Yield the sets to remove: of each kind its blocks, or their attentions and their MLPs."""
    kinds = kinds_of(model, anatomy)
    places: dict[str, dict[int, int]] = {}
    for position, part in enumerate(anatomy.parts):
        places.setdefault(part.unit.kind, {})[part.block.index] = position
    for half in (ATTENTION, MLP):
        if half in places:
            everywhere = tuple(places[half].values())
            yield _UnitSet(half, everywhere, everywhere)
    for kind in kinds:
        of = {name: tuple(at[b] for b in sorted(kind.blocks)) for name, at in places.items()}
        if BLOCK in of:
            yield _UnitSet(kind.name, of[BLOCK], of[BLOCK])
            continue
        attention, mlp = of[ATTENTION], of[MLP]
        yield _UnitSet(f"{kind.name}, {ATTENTION}", attention, attention)
        yield _UnitSet(f"{kind.name}, {MLP}", mlp, mlp)
        # The type of a layer follows its attention, so a kept attention keeps the kind.
        yield _UnitSet(kind.name, tuple(sorted((*attention, *mlp))), attention)


@dataclass(frozen=True, eq=False)
class _Rehearsal:
    """The removal of sets of units from a model.

    Attributes:
        check: raises `UnsupportedModelError` if these units cannot be removed.
        anatomy: the model's anatomy.
        n_drop: the largest number of units to remove.
        found: constraints found so far, which no removal breaks.
    """

    check: Callable[[Collection[int]], object]
    anatomy: Anatomy
    n_drop: int
    found: tuple[Constraint, ...]

    def fault(self, units: Sequence[int]) -> str | None:
        """Return what fails without these units; None if nothing does, or they are too many."""
        dropped = list(units)
        for constraint in self.found:
            while not constraint.allows(dropped):
                dropped.remove(max(constraint.units.intersection(dropped)))
        if not 0 < len(dropped) <= self.n_drop or len(dropped) == len(self.anatomy.parts):
            return None
        try:
            self.check(dropped)
        except UnsupportedModelError as error:
            return str(error)
        return None


def _constraint(
    rehearsal: _Rehearsal, units: _UnitSet, droppable: Collection[int]
) -> Constraint | None:
    """Return how many of these units must stay; None if none need to, or numbers do not decide."""
    free = [unit for unit in units.kept if unit in droppable]
    others = [u for u in units.removed if u not in units.kept and u in droppable]
    reason: str | None = None
    for least in range(min(len(free), _MOST_KEPT) + 1):
        faults = [rehearsal.fault([*some, *others]) for some in _without(free, least)]
        if all(faults):
            reason = reason or faults[0]
        elif reason is None:
            return None
        else:
            stay = len(units.kept) - len(free) + least
            names = listed([rehearsal.anatomy.parts[unit].name for unit in units.kept])
            said = f"at least {stay} of {names} ({units.name}) must stay: {reason}"
            return Constraint(frozenset(units.kept), stay, said)
    return None


def _without(free: Sequence[int], least: int) -> list[list[int]]:
    """Return the units but the first `least`, and those but the last `least`."""
    if least == 0:
        return [list(free)]
    return [list(free[least:]), list(free[: len(free) - least])]
