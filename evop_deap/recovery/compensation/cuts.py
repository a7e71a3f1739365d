"""The cuts of a pattern: places where something kept is followed by something dropped.

The depth of a model is a row of places. At each, the dense model runs a block, or parts of it side
by side. The pruned model runs the same, some of it, or nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.anatomy.steps import Step


@dataclass(frozen=True, eq=False)
class Place:
    """One place in the depth of a model.

    Attributes:
        dense: the step that the dense model takes.
        kept: the step that the pruned model takes; None if it takes none.
        dropped: names of the units that are dropped here.
    """

    dense: Step
    kept: Step | None
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class Cut:
    """A cut, by places.

    Attributes:
        first: first place after the previous cut.
        writer: last place up to the cut where anything is kept; None if there is none.
        last: place after which the state is compared with the dense model's.
    """

    first: int
    writer: int | None
    last: int


def places_of(anatomy: Anatomy, dropped: Collection[int]) -> tuple[Place, ...]:
    """Return the places of a model.

    Args:
        anatomy: its anatomy, at the granularity of the units.
        dropped: positions of the dropped units.
    """
    from evop_deap.models.anatomy.steps import steps_of

    pattern = tuple(int(gene not in dropped) for gene in range(len(anatomy.parts)))
    return tuple(
        Place(
            dense=turn.step(turn.end - 1),
            kept=next(map(turn.step, turn.taken(pattern)), None),
            dropped=tuple(part.name for gene, part in turn.parts.items() if not pattern[gene]),
        )
        for turn in steps_of(anatomy).turns
    )


def cuts_of(places: Sequence[Place]) -> tuple[Cut, ...]:
    """Return the cuts in the order of depth.

    Example:
        >>> from types import SimpleNamespace
        >>> step = SimpleNamespace(work=1)
        >>> row = [Place(step, None if i in (1, 2) else step, (str(i),) * (i in (1, 2)))
        ...        for i in range(4)]
        >>> cuts_of(row)
        (Cut(first=0, writer=0, last=2),)
    """
    return tuple(_cuts(places))


def _cuts(places: Sequence[Place]) -> Iterator[Cut]:
    first, writer = 0, None
    for index, place in enumerate(places):
        if place.kept:
            writer = index
        ends = index + 1 == len(places) or places[index + 1].kept is not None
        if place.dropped and ends:
            yield Cut(first, writer, index)
            first = index + 1
