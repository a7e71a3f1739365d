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
from evop_deap.models.surgery.packing import Layer

if TYPE_CHECKING:
    from evop_deap.models.anatomy.parts import Anatomy


def blocks_in_files(
    folder: Path, anatomy: Anatomy, layers: Sequence[Layer], dtype: torch.dtype
) -> dict[str, StoredTensor] | None:
    """Return the stored tensors of a model with fewer blocks, by their names in its checkpoint.

    Args:
        folder: the dense checkpoint, whose tensors the dense model uses all.
        anatomy: the blocks of the dense model.
        layers: the layers of the pruned model.
        dtype: the dtype of the checkpoint.

    Returns:
        None if the files do not tell: there are none in safetensors, a layer is not a block of the
        dense model as it is, the blocks cannot be found among the names, or a tensor has another
        dtype.
    """
    blocks = [layer.attention for layer in layers if layer.attention == layer.mlp]
    stored = stored_in(folder)
    prefix = prefix_of_blocks(stored, anatomy.path, len(anatomy.blocks))
    if len(blocks) < len(layers) or prefix is None:
        return None
    if any(COMPUTED.search(t.name) or t.torch_dtype is not dtype for t in stored.values()):
        return None
    new = {block: number for number, block in enumerate(blocks)}
    found: dict[str, StoredTensor] = {}
    for name, tensor in stored.items():
        block, rest = _split(name, prefix)
        if block is None:
            found[name] = tensor
        elif block in new:
            found[f"{prefix}.{new[block]}.{rest}"] = tensor
    return found


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


def _split(name: str, prefix: str) -> tuple[int | None, str]:
    """Return the block of a tensor, or None, and the tensor's name within it."""
    if not name.startswith(f"{prefix}."):
        return None, name
    block, _, rest = name.removeprefix(f"{prefix}.").partition(".")
    return int(block), rest
