"""The groups of windows that are computed together, and the arithmetic that decides a sum's bits.

The evaluator of a model in memory and that of streamed weights share these, so that they share
losses bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evop_deap.fitness.model.tiles import Tile
    from evop_deap.models.anatomy.parts import Anatomy

_VERSION = 2  # to be increased with any change that may alter a bit of a sum


def batches_of(windows: int, group: int) -> tuple[int, ...]:
    """(windows,) size of the group in which each window is computed."""
    return tuple(min(group, windows - w // group * group) for w in range(windows))


def arithmetic_of(fitness: str, anatomy: Anatomy, tile: Tile, weights: str = "") -> str:
    """What affects the last bits of a sum, besides model, pattern, window and batch.

    Args:
        fitness: "ce" or "kl".
        anatomy: the units.
        tile: size of the tiles of the loss.
        weights: how weights differ from the model's; empty if they do not.
    """
    granularity = anatomy.granularity
    units = "" if granularity == "block" else f", {granularity} units"
    tiles = f"tiles of {tile.tokens} x {tile.words}"
    return f"PopulationEvaluator {_VERSION}, {fitness}{units}, {tiles}{weights}"
