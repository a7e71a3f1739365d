"""The way of weights from their files to the memory that a model computes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

HOST = torch.device("cpu")


class Transfer(Protocol):
    """Brings the tensors of one block after the other to the device of a model."""

    def send(self, stored: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return tensors as the model computes with them; a thread calls it one block ahead."""
        ...

    def release(self, sent: Sequence[torch.Tensor]) -> None:
        """Use the memory of what was sent for others: the model computes with it no more."""
        ...

    def end(self) -> None:
        """Let go of all memory; what was sent is used no more."""
        ...


def computed_in(dtype: torch.dtype | None, tensor: torch.Tensor) -> torch.dtype:
    """Return the dtype of a tensor in a model that computes in `dtype`, which never narrows it."""
    return tensor.dtype if dtype is None else torch.promote_types(tensor.dtype, dtype)
