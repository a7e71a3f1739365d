"""Temporary removal of units from a model."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from evop_deap.models.anatomy.parts import Anatomy, silenced
from evop_deap.models.surgery.dropped_parts import dropped_parts


@contextmanager
def bypassed(anatomy: Anatomy, dropped: Collection[int]) -> Iterator[None]:
    """In this context, the hidden state passes the `dropped` units unchanged. May be nested.

    Positions, masks, layer types and cache slots of the other blocks stay as in the dense model.
    So this defines what dropping means.

    Args:
        anatomy: anatomy of the model, at the granularity of the units.
        dropped: positions of units, in the order of `anatomy.parts`.
    """
    with silenced(dropped_parts(anatomy, dropped)):
        yield
