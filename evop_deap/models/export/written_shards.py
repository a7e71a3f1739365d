"""Safetensors files written tensor by tensor from those of another checkpoint.

Bytes are copied from file to file in small pieces, so that no tensor is ever whole in memory.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch

from evop_deap.models.export.renamed_facts import renamed_facts
from evop_deap.models.loading.shards import INDEX, WEIGHTS, StoredTensor, facts_in

_PIECE = 2**22  # bytes copied at once


def write_shards(
    tensors: Mapping[str, StoredTensor],
    folder: Path,
    *,
    changed: Mapping[str, torch.Tensor] | None = None,
    renamed: Callable[[str], str | None] | None = None,
) -> None:
    """Write tensors of a checkpoint under new names, with an index if they fill several files.

    Tensors that lay in one file lie in one file again.

    Args:
        tensors: by its new name, the place of each tensor.
        folder: an empty folder.
        changed: by its new name, the values of a tensor that are not the stored ones. They have
            the shape of the stored tensor, of float32 or less, and are written in its dtype.
        renamed: of quantised tensors, gives the new name of each, or None if it is left out; with
            it, what the files say of their tensors by name is written, too.

    Raises:
        OSError: a file cannot be read or written.
    """
    by_file: defaultdict[Path, list[tuple[str, StoredTensor]]] = defaultdict(list)
    for name, tensor in tensors.items():
        by_file[tensor.file].append((name, tensor))
    count = len(by_file)
    places: dict[str, str] = {}
    for number, shard in enumerate(by_file.values(), start=1):
        file = WEIGHTS if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"
        about = {} if renamed is None else renamed_facts(facts_in(shard[0][1].file), renamed)
        _write_shard(shard, folder / file, changed or {}, about)
        places |= {name: file for name, _ in shard}
    if count > 1:
        total = sum(tensor.size for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_shard(
    shard: Sequence[tuple[str, StoredTensor]],
    file: Path,
    changed: Mapping[str, torch.Tensor],
    about: Mapping[str, str],
) -> None:
    # Tensors of larger elements come first, so that every tensor is aligned to its elements.
    ordered = sorted(shard, key=lambda named: -named[1].item_size)
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **about}}
    end = 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.size
        fields = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [begin, end]}
        header[name] = fields
    said = json.dumps(header, separators=(",", ":")).encode()
    said += b" " * (-len(said) % 8)
    with file.open("wb") as target, ordered[0][1].file.open("rb") as source:
        target.write(len(said).to_bytes(8, "little"))
        target.write(said)
        for name, tensor in ordered:
            if name in changed:
                target.write(_bytes_of(changed[name], tensor))
            else:
                _copy(source, tensor, target)


def _copy(source: BinaryIO, tensor: StoredTensor, target: BinaryIO) -> None:
    """Copy the bytes of a tensor."""
    source.seek(tensor.start)
    left = tensor.size
    while left:
        piece = source.read(min(left, _PIECE))
        if not piece:
            raise OSError(f"{tensor.file} ends within {tensor.name}")
        target.write(piece)
        left -= len(piece)


def _bytes_of(values: torch.Tensor, tensor: StoredTensor) -> bytes:
    """Return the bytes of new values in the dtype of the stored tensor."""
    stored = values.detach().cpu().to(tensor.torch_dtype).contiguous()
    return bytes(stored.view(torch.uint8).numpy().tobytes())
