"""The places of a checkpoint's tensors in its safetensors files, read from their headers alone."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
_FACTS = "__metadata__"
_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor in a safetensors file.

    Attributes:
        name: its name in the checkpoint, which may differ from that in the model.
        dtype: its type as the format spells it, such as "BF16".
        shape: its shape.
        file: the file.
        start: position of its first byte in the file.
        size: number of its bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    size: int

    @property
    def item_size(self) -> int:
        """Bytes of an element; 0 if elements are smaller."""
        return self.size // max(1, math.prod(self.shape))

    @property
    def torch_dtype(self) -> torch.dtype | None:
        """Its dtype; None if it is not one that models compute in."""
        return _DTYPES.get(self.dtype)


def stored_in(folder: Path) -> dict[str, StoredTensor]:
    """Return the tensors of the safetensors files in a folder by name; none without such files.

    Like transformers, this reads model.safetensors, or else the files that its index names.
    """
    whole, index = folder / WEIGHTS, folder / INDEX
    if whole.is_file():
        return _tensors_in(whole)
    if not index.is_file():
        return {}
    files: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    found: dict[str, StoredTensor] = {}
    for name in sorted(set(files.values())):
        found |= _tensors_in(folder / name)
    return {name: tensor for name, tensor in found.items() if name in files}


def facts_in(file: Path) -> dict[str, str]:
    """Return what a safetensors file says beside its tensors: a text for each key."""
    facts: dict[str, str] = _header(file)[1].get(_FACTS, {})
    return facts


def _tensors_in(file: Path) -> dict[str, StoredTensor]:
    """Return the tensors of one file, in the order of their bytes."""
    size, header = _header(file)
    header.pop(_FACTS, None)
    found = [
        StoredTensor(name, one["dtype"], tuple(one["shape"]), file, 8 + size + begin, end - begin)
        for name, one in header.items()
        for begin, end in [one["data_offsets"]]
    ]
    return {tensor.name: tensor for tensor in sorted(found, key=lambda tensor: tensor.start)}


def _header(file: Path) -> tuple[int, dict[str, Any]]:
    """Return the size of a file's header, and the header.

    A file is the size of its header in 8 bytes, the header as JSON, and the bytes of all tensors.
    """
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if size > file.stat().st_size:
            raise ValueError(f"{file} is not a safetensors file")
        header: dict[str, Any] = json.loads(opened.read(size))
    return size, header
