"""A line on reading, for a search that streams weights: whether a generation pays for a pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evop_deap.base.formatting import mebibytes
from evop_deap.runs.listeners.progress import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def telling_of_reading(
    model: PreTrainedModel, offspring: int, progress: Progress
) -> Iterator[None]:
    """Watch the evaluation of one pattern, and tell if `offspring` is too small for its reading.

    Nothing is told of weights in memory, or where the loss of the pattern was known.
    """
    from evop_deap.models.streaming.disk_rate import patterns_that_pay
    from evop_deap.models.streaming.streamed_weights import weights_of

    weights = weights_of(model)
    if weights is None:
        yield
        return
    reading = weights.reading
    size, read, waited, began = (
        reading.bytes, reading.seconds, reading.seconds_waited, time.perf_counter()
    )  # fmt: skip
    yield
    computing = time.perf_counter() - began - (reading.seconds_waited - waited)
    size, read = reading.bytes - size, reading.seconds - read
    enough = patterns_that_pay(read, computing)
    if size and enough > offspring:
        progress.stage(
            f"`offspring` {offspring} is small for streamed weights: a generation reads "
            f"{mebibytes(size)} in {read:.1f} s and computes a pattern in {computing:.1f} s; "
            f"with {enough} or more, reading takes less than half of the time"
        )
