"""Reading of the next item in a thread while the current one is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")


@dataclass(eq=False)
class Reading:
    """What was read so far.

    Attributes:
        bytes: size of what was read, in the dtype that it is stored in.
        seconds: time that reading took.
        seconds_waited: time for which computing waited for reading.
    """

    bytes: int = 0
    seconds: float = 0.0
    seconds_waited: float = 0.0


def read_ahead(
    items: Iterable[Item], read: Callable[[Item], Read], reading: Reading
) -> Iterator[tuple[Item, Read]]:
    """Yield each item with what `read` returns for it, which a thread calls one item ahead.

    Example:
        >>> list(read_ahead([1, 2], lambda item: 10 * item, Reading()))
        [(1, 10), (2, 20)]
    """
    coming = iter(items)
    item = next(coming, None)
    if item is None:
        return

    def timed(item: Item) -> Read:
        began = time.perf_counter()
        found = read(item)
        reading.seconds += time.perf_counter() - began
        return found

    with ThreadPoolExecutor(1, "reader") as thread:
        ahead = thread.submit(timed, item)
        while item is not None:
            began = time.perf_counter()
            found = ahead.result()
            reading.seconds_waited += time.perf_counter() - began
            this, item = item, next(coming, None)
            if item is not None:
                ahead = thread.submit(timed, item)
            yield this, found
