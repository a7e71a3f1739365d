"""Taking parts out of a model for the length of a `with`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from evop_deap.models.anatomy.parts import Anatomy, silenced
from evop_deap.models.surgery.dropped_parts import dropped_parts


@contextmanager
def bypassed(anatomy: Anatomy, dropped: Collection[int]) -> Iterator[None]:
    """Let the hidden state pass the `dropped` units unchanged, everything else in its place.

    Positions, masks, layer types and cache slots of the other blocks stay what they are in
    the dense model, so this is the reference of what dropping means. May be nested.

    Args:
        anatomy: of the model, at the granularity of the units.
        dropped: positions of units, in the order of `anatomy.parts`.
    """
    with silenced(dropped_parts(anatomy, dropped)):
        yield
