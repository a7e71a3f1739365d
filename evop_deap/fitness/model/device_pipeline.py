"""A pipeline through the devices of a model: a group of windows on each at once.

A model that is spread over several devices computes on one of them at a time. So as many groups of
windows as there are devices are under way together, each in a thread of its own, and take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TypeVar

import torch

from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.entrance import BlockCall
from evop_deap.models.anatomy.steps import Step

Item = TypeVar("Item")
Found = TypeVar("Found")


class DevicePipeline:
    """Lets one group of windows at a time run on a device.

    Args:
        devices: the devices of the model's blocks.
        head: the device of its head.

    Example:
        >>> devices = [torch.device("cpu", 0), torch.device("cpu", 1)]
        >>> pipeline = DevicePipeline(devices, devices[-1])
        >>> list(pipeline.map(lambda group: 10 * group, [0, 1, 2]))
        [0, 10, 20]
    """

    def __init__(self, devices: Sequence[torch.device], head: torch.device) -> None:
        self.width = len(devices)  # number of groups under way at once
        self._turns = {device: Lock() for device in (*devices, head)}
        self._is_stopped = False

    @contextmanager
    def on(self, device: torch.device) -> Iterator[None]:
        """Wait for the turn on a device, and have it inside the context."""
        with self._turns[device]:
            if self._is_stopped:
                raise _Stopped
            yield

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Have the turn on all devices inside the context, which may change the model's modules."""
        with ExitStack() as stack:
            # In one order, so that no two threads wait for each other.
            for device in sorted(self._turns, key=str):
                stack.enter_context(self.on(device))
            yield

    def run(self, step: Step, calls: Sequence[BlockCall], hidden: torch.Tensor) -> torch.Tensor:
        """Run a step on the device of its block, and return the hidden state after it."""
        with self.on(device_of(step.block.module)):
            return step.run(calls, hidden)

    def map(self, of: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[Found]:
        """Yield what a function returns for each item, in order; several items run at once."""
        if self.width < 2 or len(items) < 2:
            yield from map(of, items)
            return
        self._is_stopped = False
        threads = ThreadPoolExecutor(self.width, "device")
        try:
            yield from threads.map(of, items)
        finally:
            self._is_stopped = True  # threads that still run end at their next step
            threads.shutdown(cancel_futures=True)
            self._is_stopped = False


class _Stopped(Exception):
    """Raised in a thread whose result nobody waits for any more."""
