"""The way of weights from their files to the memory that a model computes in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

HOST = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Sent:
    """Tensors in a file, and the same ones where and as the model computes with them."""

    stored: Sequence[torch.Tensor]
    tensors: Sequence[torch.Tensor]


class Transfer(Protocol):
    """Brings tensors to the device of a model; at most two of `Sent` are in use at a time."""

    def send(self, stored: Sequence[torch.Tensor]) -> Sent:
        """Bring tensors there; a thread calls this while the model computes."""
        ...

    def release(self, sent: Sent) -> None:
        """Use the memory of tensors for others: the model computes with them no more."""
        ...

    def end(self) -> None:
        """Let go of all memory; what was sent is used no more."""
        ...


def computed_in(dtype: torch.dtype | None, tensor: torch.Tensor) -> torch.dtype:
    """Return the dtype of a tensor in a model that computes in `dtype`, which never narrows it."""
    return tensor.dtype if dtype is None else torch.promote_types(tensor.dtype, dtype)
