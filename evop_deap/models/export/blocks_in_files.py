"""The tensors of whole blocks in a checkpoint's files, and their names with other numbers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from evop_deap.models.loading.load_weights import COMPUTED
from evop_deap.models.loading.shards import StoredTensor, stored_in
from evop_deap.models.surgery.packing import Layer, leftovers
from evop_deap.models.surgery.renumbering import Renumbering, renumbering

if TYPE_CHECKING:
    from evop_deap.models.anatomy.parts import Anatomy


def blocks_in_files(
    folder: Path, anatomy: Anatomy, layers: Sequence[Layer], dtype: torch.dtype | None
) -> dict[str, StoredTensor] | None:
    """Return the stored tensors of a model with fewer blocks, by their names in its checkpoint.

    Args:
        folder: the dense checkpoint, whose tensors the dense model uses all.
        anatomy: the blocks of the dense model.
        layers: the layers of the pruned model.
        dtype: the dtype of the checkpoint; None if it is quantised, so that it has several.

    Returns:
        None if the files do not tell: there are none in safetensors, a layer is not a block of the
        dense model as it is, the blocks cannot be found among the names, or a tensor has another
        dtype. Halves of several blocks are put together in a quantised checkpoint alone.
    """
    stored = stored_in(folder)
    names = names_in_files(stored, anatomy, layers)
    is_whole = all(layer.attention == layer.mlp for layer in layers)
    if names is None or leftovers(layers) or not (is_whole or dtype is None):
        return None
    if dtype is None:
        stored = {name: tensor for name, tensor in stored.items() if not COMPUTED.search(name)}
    elif any(COMPUTED.search(t.name) or t.torch_dtype is not dtype for t in stored.values()):
        return None
    return {new: t for name, t in stored.items() if (new := names.new(name)) is not None}


def names_in_files(
    names: Collection[str], anatomy: Anatomy, layers: Sequence[Layer]
) -> Renumbering | None:
    """Return the way from the names in a dense checkpoint to those in the pruned one.

    Args:
        names: the names of the stored tensors.
        anatomy: the blocks of the dense model.
        layers: the layers of the pruned model.

    Returns:
        None if the blocks cannot be found among the names.
    """
    prefix = prefix_of_blocks(names, anatomy.path, len(anatomy.blocks))
    return None if prefix is None else renumbering(anatomy, layers, prefix)


def prefix_of_blocks(names: Collection[str], path: str, count: int) -> str | None:
    """Return the path of the blocks in the names of a checkpoint, such as "model.layers".

    It may differ from the path in the model by the modules around the blocks.

    Args:
        names: the names of its tensors.
        path: the path of the blocks in the model.
        count: the number of blocks.
    """
    last = path.rpartition(".")[2]
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for name in names:
        for match in re.finditer(rf"(?:^|\.){re.escape(last)}\.(\d+)\.", name):
            numbers[name[: match.start(1) - 1]].add(int(match.group(1)))
    every = set(range(count))
    found = [prefix for prefix, some in numbers.items() if some == every]
    if path in found:
        return path
    return found[0] if len(found) == 1 else None
