"""The order of documents, which is where calibration strategies differ, and their split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from evop_deap.base.errors import InputError
from evop_deap.text.documents import Document

Sampler: TypeAlias = Callable[[Sequence[Document], np.random.Generator], Sequence[int]]
"""Orders documents: returns their indices in the order of use, each at most once.

Packing takes as many as it needs from the front, so a sampler does not depend on tokens. It may
leave documents out.
"""


def random_order(documents: Sequence[Document], rng: np.random.Generator) -> list[int]:
    """Return a uniformly random order."""
    return [int(index) for index in rng.permutation(len(documents))]


def in_order(
    documents: Sequence[Document], sampler: Sampler, rng: np.random.Generator
) -> list[Document]:
    """Return the documents in the sampler's order.

    Raises:
        InputError: the sampler returns an index twice, or one out of range.
    """
    order = [int(index) for index in sampler(documents, rng)]
    if len(set(order)) < len(order) or not set(order) <= set(range(len(documents))):
        raise InputError(
            f"`sampler` must give distinct indices from 0 to {len(documents) - 1}, "
            f"but gave {order[:8]}{'...' if len(order) > 8 else ''}"
        )
    return [documents[index] for index in order]


def split_documents(
    documents: Sequence[Document], heldout_share: float, rng: np.random.Generator
) -> tuple[list[Document], list[Document]]:
    """Split the documents at random into calibration and held-out ones.

    Args:
        documents: distinct texts.
        heldout_share: share of the documents to hold out, between 0 and 1; each side gets at
            least one document.
        rng: draws the held-out documents.

    Returns:
        Calibration and held-out documents, each in the order of the corpus.

    Raises:
        InputError: there are fewer than two documents, or the share is not between 0 and 1.
    """
    if not 0.0 < heldout_share < 1.0:
        raise InputError(f"`heldout_share` must be between 0 and 1, but got {heldout_share}")
    if len(documents) < 2:
        raise InputError(
            f"`corpus` must hold at least 2 documents, one to calibrate on and one to hold out, "
            f"but has {len(documents)}; give more files or rows, or a text of more than "
            "4,000 characters"
        )
    count = min(max(round(heldout_share * len(documents)), 1), len(documents) - 1)
    heldout = {int(index) for index in rng.permutation(len(documents))[:count]}
    return (
        [document for index, document in enumerate(documents) if index not in heldout],
        [document for index, document in enumerate(documents) if index in heldout],
    )
