"""Devices of the CPU, cpu:0 and cpu:1, whose tensors cannot be used together, as on accelerators.

PyTorch takes these names, but says `cpu` of every tensor and mixes them. Inside `apart` a tensor
has the device that it was moved to, and an operation on tensors of two devices fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

FIRST, SECOND = torch.device("cpu", 0), torch.device("cpu", 1)
_HOST = torch.device("cpu")
_MAY_MIX = {"copy_", "__set__", "__setitem__", "set_", "type_as", "__deepcopy__"}
_MAY_MIX |= {"_has_compatible_shallow_copy_type"}


class MixedDevicesError(RuntimeError):
    """An operation got tensors of several devices."""


class _Apart(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self._places: Any = WeakTensorKeyDictionary()

    def place(self, tensor: torch.Tensor) -> torch.device:
        found: torch.device = self._places.get(tensor, _HOST)
        return found

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if func == torch.Tensor.device.__get__:  # type: ignore[attr-defined]
            return self.place(args[0])
        if func == torch.Tensor.data.__set__:  # type: ignore[attr-defined]
            self._places[args[0]] = self.place(args[1])
            return func(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        # A number may be on any device.
        shaped = [tensor for tensor in tensors if tensor.ndim] or tensors[:1]
        places = {self.place(tensor) for tensor in shaped}
        if name in {"to", "cpu"}:
            return self._moved(func, args, kwargs)
        if name == "__getitem__":  # an index may be on the host
            places = {self.place(args[0])}
        elif len(places) > 1 and name not in _MAY_MIX:
            raise MixedDevicesError(f"{name} of {sorted(map(str, places))}")
        wanted = kwargs.get("device")
        wanted = None if wanted is None else torch.device(wanted)
        result = func(*args, **kwargs)
        place = wanted or (self.place(args[0]) if name in _MAY_MIX else next(iter(places), _HOST))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and not any(leaf is own for own in tensors):
                self._places[leaf] = place
        return result

    def _moved(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        tensor, place = args[0], self.place(args[0])
        to = _HOST if func.__name__ == "cpu" else place
        for given in (*args[1:], *kwargs.values()):
            if isinstance(given, torch.Tensor):
                to = self.place(given)
            elif isinstance(given, str | torch.device) and str(given).startswith("cpu"):
                to = torch.device(given)
        result = func(*args, **kwargs)
        if to == place:
            return tensor if result.dtype is tensor.dtype else self._at(place, result)
        return self._at(to, result.clone() if result is tensor else result)

    def _at(self, place: torch.device, tensor: torch.Tensor) -> torch.Tensor:
        self._places[tensor] = place
        return tensor


@contextmanager
def apart() -> Iterator[Callable[[torch.Tensor], torch.device]]:
    """In this context, tensors of cpu:0 and cpu:1 do not mix; yields what tells their device."""
    mode = _Apart()
    with mode, _in_threads(mode):
        yield mode.place


@contextmanager
def _in_threads(mode: TorchFunctionMode) -> Iterator[None]:
    """In this context, threads that start have the mode, too: PyTorch keeps it by thread."""
    before = Thread.run

    def run(thread: Thread) -> None:
        with mode:
            before(thread)

    Thread.run = run  # type: ignore[method-assign]
    try:
        yield
    finally:
        Thread.run = before  # type: ignore[method-assign]
