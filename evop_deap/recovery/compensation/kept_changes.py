"""Changes of weights kept in two bytes a weight, because a search keeps many of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

Kept = Mapping[nn.Parameter, torch.Tensor]
"""By parameter: the new values of a narrow weight, or what is added to a wide one, in bfloat16."""

BYTES = 2


def kept(changes: Mapping[nn.Parameter, torch.Tensor]) -> Kept:
    """Return changes to keep.

    Args:
        changes: new values of weights.
    """
    return {
        weight: values.to(weight.dtype)
        if weight.itemsize <= BYTES
        else (values - weight.data.to(values.dtype)).bfloat16()
        for weight, values in changes.items()
    }


def restored(changes: Kept) -> dict[nn.Parameter, torch.Tensor]:
    """Return the new values of weights."""
    return {
        weight: change if weight.itemsize <= BYTES else weight.data + change.to(weight.dtype)
        for weight, change in changes.items()
    }
