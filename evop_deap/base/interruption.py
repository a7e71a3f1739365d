"""Ctrl-C and SIGTERM: handled at once, or delayed to a safe point.

If Optuna is interrupted while it waits for a journal's lock, it releases a lock that may belong to
another process. So a signal is delayed until the running search has finished its generation.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Interrupted(KeyboardInterrupt):
    """Raised when a signal has arrived.

    Attributes:
        number: the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Make SIGTERM interrupt the body as Ctrl-C does."""
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class Interruption:
    """Delays a signal until `check` is called."""

    def __init__(self) -> None:
        self._number: int | None = None

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Delay signals until `check` while the body runs; a second signal interrupts at once."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        previous = [signal.signal(number, self._arrived) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, previous, strict=True):
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise the delayed signal, if there is one.

        Raises:
            Interrupted: a signal has arrived.
        """
        if self._number is not None:
            raise Interrupted(self._number)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        again, self._number = self._number is not None, number
        if again:
            raise Interrupted(number)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)
