"""Batches by length, in shapes that make a text's vector independent of the other texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.calibration.embedding.encoder import Vectors

ROWS = 32
STEP = 16

Forward = Callable[[NDArray[np.int64], NDArray[np.int64]], Vectors]
"""Maps (rows, length) token ids and their 0/1 mask to (rows, dimensions) vectors."""


def encode_batched(
    ids: Sequence[Sequence[int]],
    forward: Forward,
    *,
    padding: int,
    on_encoded: Callable[[int], object] | None = None,
) -> Vectors:
    """Run `forward` over all texts, in batches of similar length.

    Every batch has `ROWS` rows and a length that is a multiple of `STEP`. So a text is always
    computed in the same shape, on which the last bits of a matrix product depend.

    Args:
        ids: token ids of each text, at least one each.
        forward: the model.
        padding: token id for padding on the right.
        on_encoded: called with the number of texts in each batch.

    Returns:
        (texts, dimensions) in the order of `ids`.
    """
    parts: list[Vectors] = []
    places: list[int] = []
    for batch, length in _batches([len(row) for row in ids]):
        tokens = np.full((ROWS, length), padding, dtype=np.int64)
        mask = np.zeros((ROWS, length), dtype=np.int64)
        for row in range(ROWS):
            text = ids[batch[min(row, len(batch) - 1)]]
            tokens[row, : len(text)] = text
            mask[row, : len(text)] = 1
        parts.append(forward(tokens, mask)[: len(batch)])
        places += batch
        if on_encoded is not None:
            on_encoded(len(batch))
    together = np.concatenate(parts)
    ordered = np.empty_like(together)
    ordered[places] = together
    return ordered


def _batches(lengths: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """Yield the indices of each batch and its padded length, the shortest first."""
    by_length: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        by_length.setdefault(-(-length // STEP) * STEP, []).append(index)
    for length, indices in sorted(by_length.items()):
        for first in range(0, len(indices), ROWS):
            yield indices[first : first + ROWS], length
