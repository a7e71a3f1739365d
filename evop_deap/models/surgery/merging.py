"""Merging of blocks: matrices that are weighted sums of the matrices of several blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.parts import Anatomy, Block
from evop_deap.models.surgery.repacking import without_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Merges = Mapping[int, Mapping[int, float]]
"""By the index of a block, the weight of each block in its weighted sums."""


@contextmanager
def combined(anatomy: Anatomy, merges: Merges) -> Iterator[None]:
    """In this context, the matrices of the blocks in `merges` are weighted sums.

    Sums are computed in float32 from the original matrices. Other tensors, such as norms, stay
    unchanged.

    Raises:
        UnsupportedModelError: the blocks in a sum differ in their matrices.
    """
    sums = {
        parameter: _sum(anatomy, name, parameter, shares)
        for index, shares in merges.items()
        for name, parameter in _matrices(anatomy.blocks[index])
    }
    before = {parameter: parameter.data for parameter in sums}
    try:
        for parameter, total in sums.items():
            parameter.data = total
        yield
    finally:
        for parameter, own in before.items():
            parameter.data = own


def merged_model(
    model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int], merges: Merges
) -> PreTrainedModel:
    """Return a second model without the `dropped` blocks, in which others are weighted sums.

    It shares all other tensors with `model`, which stays unchanged.

    Raises:
        UnsupportedModelError: the blocks cannot be removed, or differ in their matrices.
    """
    with combined(anatomy, merges):
        return without_blocks(model, anatomy, dropped)


def _matrices(block: Block) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in block.module.named_parameters() if p.ndim >= 2]


def _sum(
    anatomy: Anatomy, name: str, parameter: nn.Parameter, shares: Mapping[int, float]
) -> torch.Tensor:
    total = torch.zeros_like(parameter, dtype=torch.float32)
    for index, share in shares.items():
        block = anatomy.blocks[index]
        other = dict(_matrices(block)).get(name)
        if other is None or other.shape != parameter.shape:
            raise UnsupportedModelError(
                f"block {index} has no {name} of shape {tuple(parameter.shape)}: blocks that are "
                "not alike cannot be merged"
            )
        total += share * other.detach().to(total.device).float()
    return total.to(parameter.dtype)
