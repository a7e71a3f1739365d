"""Strata of documents, and windows drawn from them in turn.

A window holds text of one stratum only. So a stratum's share is a share of windows, independent
of the lengths of its documents, and all windows of a stratum have the same weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.calibration.balance import Balance
from evop_deap.text.documents import Document
from evop_deap.text.tokens import Tokens
from evop_deap.text.window_set import Stretch, WindowSet
from evop_deap.text.windows import WindowStream, too_few, windows_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Stratum:
    """Documents of one kind.

    Attributes:
        label: cluster of the documents; -1 is noise.
        documents: in the order of use.
        share: its share of the windows, above 0.
        size: amount of text that it represents, above 0; see `text_sizes`.
    """

    label: int
    documents: tuple[Document, ...]
    share: float
    size: float


@dataclass(frozen=True, eq=False)
class StratifiedWindows:
    """Windows in a balanced order.

    Attributes:
        windows: every prefix has each stratum's share, up to a difference of one window.
        labels: (windows,) stratum of each window.
    """

    windows: WindowSet
    labels: NDArray[np.int64]

    def take(self, order: Sequence[int]) -> StratifiedWindows:
        """Return the windows at these positions, in this order."""
        tokens, stretches = self.windows.tokens, self.windows.stretches
        chosen = WindowSet(
            tokens[list(order)], tuple(stretches[i] for i in order), self.windows.prefix
        )
        return StratifiedWindows(chosen, self.labels[list(order)])


def draw_windows(
    strata: Sequence[Stratum],
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    tokens: int,
    rng_of: Callable[[int], np.random.Generator],
    least: int | None = None,
) -> StratifiedWindows:
    """Fill windows from the strata in turn.

    The first windows do not depend on the number of windows. The turns of a stratum that is used
    up go to the others.

    Args:
        strata: at least one.
        tokenizer: one of transformers' tokenizers.
        window: tokens in a window.
        tokens: total number of tokens; `tokens // window` windows are filled.
        rng_of: maps a label to a generator, which draws which stretch of a long document comes
            first.
        least: number of tokens that is enough if the documents hold no more; by default `tokens`.

    Raises:
        InputError: `tokens` is less than one window, or the documents fill too few windows.
    """
    wanted = windows_in(tokens, window, "tokens")
    streams = [
        WindowStream(s.documents, tokenizer, window=window, rng=rng_of(s.label)) for s in strata
    ]
    turns = [iter(stream) for stream in streams]
    balance = Balance([stratum.share for stratum in strata])
    filled: list[tuple[Tokens, tuple[Stretch, ...]]] = []
    labels: list[int] = []
    while len(filled) < wanted and not balance.over:
        index = balance.next()
        found = next(turns[index], None)
        if found is None:
            balance.leave(index)
        else:
            filled.append(found)
            labels.append(strata[index].label)
    enough = tokens if least is None else least
    if len(filled) < windows_in(enough, window, "tokens"):
        left = sum(stream.left for stream in streams)
        documents = sum(len(stratum.documents) for stratum in strata)
        raise too_few("tokens", enough, window, len(filled), left, documents)
    windows = WindowSet(
        np.stack([row for row, _ in filled]),
        tuple(stretches for _, stretches in filled),
        streams[0].prefix,
    )
    return StratifiedWindows(windows, np.array(labels, dtype=np.int64))


def window_weights(
    labels: NDArray[np.int64], sizes: dict[int, float], weighting: str
) -> NDArray[np.float64]:
    """Return the weight of each window, 1 on average.

    With "corpus", the weighted mean of window losses is an unbiased estimate of the mean over
    the corpus, whatever the shares of the windows are. It excludes strata without a window.

    Args:
        labels: (windows,) stratum of each window.
        sizes: amount of text that each stratum represents, by label.
        weighting: "none", equal windows; "corpus", strata weighted by their size; "cluster",
            equal strata.

    Raises:
        InputError: there is no such weighting.

    Example:
        >>> window_weights(np.array([0, 0, 1]), {0: 1.0, 1: 1.0}, "corpus").tolist()
        [0.75, 0.75, 1.5]
    """
    if weighting not in ("none", "corpus", "cluster"):
        raise InputError(f"`weighting` must be none, corpus or cluster, but got '{weighting}'")
    if weighting == "none":
        return np.ones(len(labels))
    counts = {label: int((labels == label).sum()) for label in np.unique(labels).tolist()}
    masses = {label: sizes[label] if weighting == "corpus" else 1.0 for label in counts}
    weights = np.array([masses[label] / counts[label] for label in labels.tolist()])
    scaled: NDArray[np.float64] = weights * (len(labels) / weights.sum())
    return scaled


def text_sizes(lengths: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """Return the size of each document: its number of tokens, at most one window.

    A uniform sample of documents takes that much of each, and no long document can dominate.
    """
    return np.minimum(lengths, capacity)
