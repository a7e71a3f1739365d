"""Changed weights: written for the length of a `with`, or kept in a second model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from evop_deap.models.streaming.streamed_weights import stream_like
from evop_deap.models.surgery.repacking import without_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

Changes = Mapping[nn.Parameter, torch.Tensor]
"""New values by parameter of the dense model."""


@contextmanager
def written(changes: Changes) -> Iterator[None]:
    """In this context, these parameters have their new values."""
    before = {parameter: parameter.data for parameter in changes}
    try:
        for parameter, values in changes.items():
            parameter.data = values
        yield
    finally:
        for parameter, own in before.items():
            parameter.data = own


def in_float32(changes: Changes) -> dict[nn.Parameter, torch.Tensor]:
    """Return the changes for a model that computes in float32."""
    return {p: values.to(p.device, torch.float32) for p, values in changes.items()}


def rounded(changes: Changes, stored: torch.dtype | None) -> dict[nn.Parameter, torch.Tensor]:
    """Return the changes in the dtype of their parameters, rounded to `stored` if it is narrower.

    A model stored in bfloat16 may compute in float32. Its checkpoint is written in bfloat16 only
    if that loses nothing.
    """
    narrowed = {}
    for parameter, values in changes.items():
        narrow = stored is not None and stored.itemsize < parameter.dtype.itemsize
        kept = values.to(stored) if narrow else values
        narrowed[parameter] = kept.to(parameter.device, parameter.dtype).contiguous()
    return narrowed


def changed_copy(
    model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int], changes: Changes
) -> PreTrainedModel:
    """Return a second model without the `dropped` units and with changed weights.

    It shares all other tensors with `model`, which is left as it is.

    Raises:
        UnsupportedModelError: the units cannot be removed.
    """
    with written(changes):
        pruned = without_blocks(model, anatomy, dropped)
    stream_like(model, pruned)
    return pruned
