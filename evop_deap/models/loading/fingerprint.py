"""A model's identity by content: what it computes, wherever it was loaded from."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Where a checkpoint came from and what wrote it say nothing about what it computes.
_INCIDENTAL = {"_name_or_path", "_model_name_or_path", "transformers_version", "_commit_hash"}


def fingerprint_model(model: PreTrainedModel) -> str:
    """SHA-256 over the configuration and every weight with its name, shape and dtype."""
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
