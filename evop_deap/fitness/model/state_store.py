"""Hidden states in memory up to a budget, and in a temporary file beyond it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO, Any

import torch

from evop_deap.base.files import reporting_write_errors


class StateStore:
    """Keeps hidden states until they are forgotten.

    Args:
        budget: most bytes in memory; what is more is written to a temporary file, which is gone
            at the end of the context.

    Example:
        >>> with StateStore(budget=64) as store:
        ...     states = [store.put(torch.full((1, 4, 4), float(number))) for number in range(3)]
        ...     [float(state.tensor()[0, 0, 0]) for state in states], store.most_in_memory
        ([0.0, 1.0, 2.0], 64)
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.most_in_memory = 0
        self.in_memory = 0
        self.size_of_file = 0
        self._file: IO[bytes] | None = None
        self._gaps: dict[int, list[int]] = {}  # by size, where there is room in the file

    def put(self, tensor: torch.Tensor) -> State:
        """Keep a tensor for as long as the returned object lives."""
        if self.in_memory + tensor.nbytes <= self.budget:
            self.in_memory += tensor.nbytes
            self.most_in_memory = max(self.most_in_memory, self.in_memory)
            return State(self, tensor, None, tensor)
        gaps = self._gaps.get(tensor.nbytes)
        place = gaps.pop() if gaps else self.size_of_file
        self.size_of_file = max(self.size_of_file, place + tensor.nbytes)
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="evop_deap.states.")  # noqa: SIM115
        with reporting_write_errors(Path(tempfile.gettempdir())):
            self._file.seek(place)
            self._file.write(_bytes_of(tensor.cpu().contiguous()))
            self._file.flush()
        return State(self, None, place, tensor)

    def read(self, place: int, into: torch.Tensor) -> None:
        """Read a state from the file."""
        assert self._file is not None
        self._file.seek(place)
        self._file.readinto(_bytes_of(into))  # type: ignore[attr-defined]

    def __enter__(self) -> StateStore:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def forget(self, size: int, place: int | None) -> None:
        """Use the room of a state for others."""
        if place is None:
            self.in_memory -= size
        else:
            self._gaps.setdefault(size, []).append(place)


class State:
    """A hidden state in a store; its room is used for others when the object is gone."""

    def __init__(
        self, store: StateStore, tensor: torch.Tensor | None, place: int | None, like: torch.Tensor
    ) -> None:
        self._store, self._tensor, self._place = store, tensor, place
        self.shape, self._dtype, self._device = like.shape, like.dtype, like.device
        self.size = like.nbytes

    def tensor(self) -> torch.Tensor:
        """The hidden state: (windows, length, width)."""
        if self._tensor is not None:
            return self._tensor
        assert self._place is not None
        found = torch.empty(self.shape, dtype=self._dtype)
        self._store.read(self._place, found)
        return found.to(self._device)

    def __del__(self) -> None:
        self._store.forget(self.size, self._place)


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    """The bytes of a tensor on the CPU, which can be written to."""
    numbers: Any = tensor.view(torch.uint8).numpy()
    return memoryview(numbers).cast("B")
