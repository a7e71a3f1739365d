"""The way of weights to a CUDA device: through pinned memory, on a stream of its own.

So the next block is on its way while this one is computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evop_deap.models.loading.mapped_pages import MappedPages
from evop_deap.models.streaming.transfer import computed_in


class CudaTransfer:
    """Sends tensors to a CUDA device; see `Transfer`.

    PyTorch keeps the pinned memory and uses it again when the copy from it is done.

    Args:
        device: the device.
        dtype: dtype there, where that in the file is not wider; None for that in the file.
        pages: the memory that is mapped from the files.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype | None, pages: MappedPages) -> None:
        self._device, self._dtype, self._pages = device, dtype, pages
        self._stream = torch.cuda.Stream(device)

    def send(self, stored: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """See `Transfer.send`. It returns when all is there, so that its time is that of copying.

        Tensors are widened there: narrow ones travel.
        """
        found = []
        with torch.cuda.stream(self._stream):
            for tensor in stored:
                # A weight that was changed may be there already.
                pinned = tensor.pin_memory() if tensor.device.type == "cpu" else tensor
                self._pages.let_go(tensor)
                there = pinned.to(self._device, non_blocking=True)
                found.append(there.to(computed_in(self._dtype, tensor)))
            copied = self._stream.record_event()
        copied.synchronize()
        return found

    def release(self, sent: Sequence[torch.Tensor]) -> None:
        """See `Transfer.release`.

        The memory belongs to the stream of copies, which knows nothing of the computing: it may
        be written to again as soon as the tensors are gone.
        """
        torch.cuda.current_stream(self._device).synchronize()

    def end(self) -> None:
        """See `Transfer.end`."""
        torch.cuda.current_stream(self._device).synchronize()
