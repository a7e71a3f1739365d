"""Ctrl-C and SIGTERM at a moment at which they do no harm.

Interrupted while it waits for a journal's lock, Optuna lets go of a lock that may be another
process's. So a signal waits until the search that goes on has done its generation.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """A signal that has arrived, or not yet.

    Attributes:
        number: of the signal; None where there was none.
    """

    def __init__(self) -> None:
        self.number: int | None = None

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
            KeyboardInterrupt: one has.
        """
        if self.number is not None:
            raise KeyboardInterrupt

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        again, self.number = self.number is not None, number
        if again:
            raise KeyboardInterrupt
