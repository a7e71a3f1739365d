"""The ordinary layers that a model without some of its units needs; nothing is built."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection
from typing import TYPE_CHECKING

from evop_deap.models.anatomy.parts import Anatomy, Block, Part
from evop_deap.models.surgery.dropped_parts import drops_of
from evop_deap.models.surgery.packing import Fits, Layer, pack
from evop_deap.models.surgery.remap_config import halves_combine

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def packed_layers(
    model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]
) -> tuple[Layer, ...]:
    """Return the layers that a model without the `dropped` units needs.

    Raises:
        InputError: a position is out of range, or nothing stays.
    """
    return pack(drops_of(anatomy, dropped).live, halves_that_fit(model, anatomy))


def halves_that_fit(model: PreTrainedModel, anatomy: Anatomy) -> Fits:
    """Return the test of whether halves of different blocks can form one layer, for `pack`.

    They can if each block is only its attention followed by its MLP, and if the configuration
    can describe the two halves together.
    """

    @functools.cache
    def fits(attention: int, mlp: int) -> bool:
        blocks = (anatomy.blocks[attention], anatomy.blocks[mlp])
        return all(_is_two_halves(anatomy, block) for block in blocks) and halves_combine(
            model.config, attention, mlp
        )

    return fits


def pairs_that_repack(model: PreTrainedModel, anatomy: Anatomy) -> tuple[int, ...]:
    """Return the positions of halves that can be dropped with the next half without a leftover.

    The two halves of a block are such a pair. So are an MLP and the next attention, if any half
    kept before them and any half kept after them can form one layer.
    """
    fits = halves_that_fit(model, anatomy)

    def leave_no_leftover(first: Part, second: Part) -> bool:
        if first.block is second.block:
            return True
        before, behind = range(second.block.index), range(second.block.index, len(anatomy.blocks))
        return all(fits(i, j) for i in before for j in behind)

    neighbours = enumerate(itertools.pairwise(anatomy.parts))
    return tuple(unit for unit, pair in neighbours if leave_no_leftover(*pair))


def _is_two_halves(anatomy: Anatomy, block: Block) -> bool:
    """Return whether a block is only one half after the other."""
    halves = anatomy.parts_of(block)
    tensors = {key.partition(".")[0] for key in block.module.state_dict()}
    return [half.turn for half in halves] == [0, 1] and tensors <= {
        child for half in halves for child in half.children
    }
