"""Which ordinary layers a model without some of its units needs; nothing is built."""

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
    """The layers that a model without the `dropped` units needs.

    Raises:
        InputError: a position that no unit has, or nothing stays.
    """
    return pack(drops_of(anatomy, dropped).live, halves_that_fit(model, anatomy))


def halves_that_fit(model: PreTrainedModel, anatomy: Anatomy) -> Fits:
    """Which halves of different blocks make one layer, as `pack` asks.

    They do where both blocks are their MLP after their attention and hold nothing beside these,
    and where the configuration can describe the two together.
    """

    @functools.cache
    def fits(attention: int, mlp: int) -> bool:
        blocks = (anatomy.blocks[attention], anatomy.blocks[mlp])
        return all(_comes_apart(anatomy, block) for block in blocks) and halves_combine(
            model.config, attention, mlp
        )

    return fits


def pairs_that_repack(model: PreTrainedModel, anatomy: Anatomy) -> tuple[int, ...]:
    """Halves, by unit position, that leave no other half over when the next one goes too.

    The two halves of a block do. So do an MLP and the attention behind it, where the halves of
    blocks before and behind them, whichever stay, make one layer.
    """
    fits = halves_that_fit(model, anatomy)

    def leave_none_over(first: Part, second: Part) -> bool:
        if first.block is second.block:
            return True
        before, behind = range(second.block.index), range(second.block.index, len(anatomy.blocks))
        return all(fits(i, j) for i in before for j in behind)

    neighbours = enumerate(itertools.pairwise(anatomy.parts))
    return tuple(unit for unit, pair in neighbours if leave_none_over(*pair))


def _comes_apart(anatomy: Anatomy, block: Block) -> bool:
    """Whether a block is one half after the other and nothing else."""
    halves = anatomy.parts_of(block)
    tensors = {key.partition(".")[0] for key in block.module.state_dict()}
    return [half.turn for half in halves] == [0, 1] and tensors <= {
        child for half in halves for child in half.children
    }
