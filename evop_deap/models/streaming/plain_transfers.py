"""The ways of weights to the host's memory, and to a device by a plain copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evop_deap.models.loading.mapped_pages import MappedPages
from evop_deap.models.streaming.transfer import computed_in


class InPlace:
    """Reads pages of the host's memory, which the model then uses as they are.

    Args:
        pages: the memory that is mapped from the files.
    """

    def __init__(self, pages: MappedPages) -> None:
        self._pages = pages

    def send(self, stored: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """See `Transfer.send`."""
        for tensor in stored:
            self._pages.read(tensor)
        return stored

    def release(self, sent: Sequence[torch.Tensor]) -> None:
        """See `Transfer.release`."""
        for tensor in sent:
            self._pages.let_go(tensor)

    def end(self) -> None:
        """See `Transfer.end`."""


class Copying:
    """Copies tensors to memory that is used again and again.

    Args:
        device: where the copies are.
        dtype: their dtype, where that in the file is not wider; None for that in the file.
        pages: the memory that is mapped from the files.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype | None, pages: MappedPages) -> None:
        self._device, self._dtype, self._pages = device, dtype, pages
        self._unused: list[Sequence[torch.Tensor]] = []

    def send(self, stored: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """See `Transfer.send`."""
        room = self._room_for(stored)
        for to, tensor in zip(room, stored, strict=True):
            to.copy_(tensor)
            self._pages.let_go(tensor)
        return room

    def release(self, sent: Sequence[torch.Tensor]) -> None:
        """See `Transfer.release`."""
        self._unused.append(sent)

    def end(self) -> None:
        """See `Transfer.end`."""
        self._unused.clear()

    def _room_for(self, stored: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return memory for these tensors: that of earlier ones of the same shapes, if any."""
        wanted = [(tensor.shape, computed_in(self._dtype, tensor)) for tensor in stored]
        return self._used_before(wanted) or [
            torch.empty(shape, dtype=dtype, device=self._device) for shape, dtype in wanted
        ]

    def _used_before(
        self, wanted: Sequence[tuple[torch.Size, torch.dtype]]
    ) -> Sequence[torch.Tensor] | None:
        """Return unused memory of these shapes; if there is none, let go of what is unused."""
        seen = 0  # the computing thread may add more meanwhile
        for seen, room in enumerate(self._unused, start=1):
            if [(tensor.shape, tensor.dtype) for tensor in room] == wanted:
                return self._unused.pop(seen - 1)
        del self._unused[:seen]
        return None
