"""A model's identity by content, independent of its source."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch

from evop_deap.models.anatomy.quantisation import plain_tensors
from evop_deap.models.loading.mapped_pages import pages_of
from evop_deap.models.loading.precision import dtype_of
from evop_deap.models.loading.put_together import whole

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_AT_ONCE = 1 << 24  # elements
# Fields about the source and the writer of a checkpoint, which do not affect its computation.
_INCIDENTAL = {"_name_or_path", "_model_name_or_path", "transformers_version", "_commit_hash"}


def fingerprint_model(model: PreTrainedModel) -> str:
    """Return the SHA-256 of the configuration and of every weight's name, shape, dtype and data."""
    config = {k: v for k, v in model.config.to_dict().items() if k not in _INCIDENTAL}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    seen: set[int] = set()
    pages = pages_of(model)
    # A model whose weights stay in their files counts as the one that computes in its dtype.
    wide = dtype_of(model) is not model.dtype
    stored = sorted(model.state_dict().items())
    for name, tensor in (part for one in stored for part in plain_tensors(*one)):
        dtype = torch.float32 if wide and tensor.is_floating_point() else tensor.dtype
        digest.update(f"{name}{tuple(tensor.shape)}{dtype}".encode())
        if tensor.data_ptr() not in seen:  # tied weights are read once
            seen.add(tensor.data_ptr())
            for flat in whole(tensor.detach()).reshape(-1).split(_AT_ONCE):
                part = flat.to("cpu", dtype).contiguous()
                digest.update(part.view(torch.uint8).numpy().data)
                pages.let_go(flat)
    return digest.hexdigest()
