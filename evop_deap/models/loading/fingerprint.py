"""A model's identity by content, independent of its source."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Fields about the source and the writer of a checkpoint, which do not affect its computation.
_INCIDENTAL = {"_name_or_path", "_model_name_or_path", "transformers_version", "_commit_hash"}


def fingerprint_model(model: PreTrainedModel) -> str:
    """Return the SHA-256 of the configuration and of every weight's name, shape, dtype and data."""
    config = {k: v for k, v in model.config.to_dict().items() if k not in _INCIDENTAL}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    seen: set[int] = set()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        if tensor.data_ptr() not in seen:  # tied weights are read once
            seen.add(tensor.data_ptr())
            flat = tensor.detach().reshape(-1).contiguous().cpu()
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
