"""Ctrl-C and SIGTERM: at once, or at a moment at which they do no harm.

Interrupted while it waits for a journal's lock, Optuna lets go of a lock that may be another
process's. So a signal waits until the search that goes on has done its generation.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Interrupted(KeyboardInterrupt):
    """A signal has arrived.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM interrupt the body as Ctrl-C does."""
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class Interruption:
    """A signal that has arrived, or not yet."""

    def __init__(self) -> None:
        self._number: int | None = None

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Keep signals for `check` while the body runs; a second one interrupts at once."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        previous = [signal.signal(number, self._arrived) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, previous, strict=True):
                signal.signal(number, handler)

    def check(self) -> None:
        """Interrupt here, if a signal has arrived.

        Raises:
            Interrupted: one has.
        """
        if self._number is not None:
            raise Interrupted(self._number)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        again, self._number = self._number is not None, number
        if again:
            raise Interrupted(number)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)
