"""The names that changed weights have in the files of a checkpoint with fewer blocks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from evop_deap.models.export.blocks_in_files import prefix_of_blocks
from evop_deap.models.loading.shards import StoredTensor
from evop_deap.models.surgery.packing import Layer

if TYPE_CHECKING:
    from evop_deap.models.anatomy.parts import Anatomy


def changed_in_files(
    tensors: Mapping[str, StoredTensor],
    anatomy: Anatomy,
    layers: Sequence[Layer],
    changed: Collection[nn.Parameter],
    dtype: torch.dtype,
) -> dict[str, torch.Tensor] | None:
    """Return the values of changed weights by their names in a checkpoint with fewer blocks.

    Args:
        tensors: the stored tensors of that checkpoint, from `blocks_in_files`.
        anatomy: the blocks of the dense model.
        layers: the layers of the pruned model, each a block of the dense model as it is.
        changed: weights of the dense model.
        dtype: dtype of the checkpoint.

    Returns:
        None if they cannot be written so: a weight has no tensor of its name and shape, or values
        that its dtype rounds.
    """
    prefix = prefix_of_blocks(tensors, anatomy.path, len(layers)) if changed else ""
    left, values = set(changed), dict[str, torch.Tensor]()
    for number, layer in enumerate(layers):
        assert layer.attention is not None
        for name, weight in anatomy.blocks[layer.attention].module.named_parameters():
            if weight not in left:
                continue
            left.remove(weight)
            stored = tensors.get(f"{prefix}.{number}.{name}")
            if stored is None or stored.shape != weight.shape:
                return None
            narrow = weight.detach().to(dtype)
            if not torch.equal(narrow.to(weight.dtype), weight):
                return None
            values[f"{prefix}.{number}.{name}"] = narrow
    return None if left else values
