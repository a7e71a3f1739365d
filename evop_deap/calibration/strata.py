"""Strata of documents, and windows drawn from them in turn.

A window holds text of one stratum only. So the shares that a strategy asks for are shares of
windows, whatever the lengths of the documents are, and a window's weight is its stratum's.
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
        documents: the most wanted first.
        share: of the windows, above 0.
        size: how much of the corpus it stands for, above 0; see `text_sizes`.
    """

    label: int
    documents: tuple[Document, ...]
    share: float
    size: float


@dataclass(frozen=True, eq=False)
class StratifiedWindows:
    """Windows in a balanced order.

    Attributes:
        windows: every beginning of them has each stratum's share, give or take one window.
        labels: (windows,) of each one's stratum.
    """

    windows: WindowSet
    labels: NDArray[np.int64]

    def take(self, order: Sequence[int]) -> StratifiedWindows:
        """Some windows, in another order."""
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

    What comes first does not depend on how many follow. A stratum that is used up leaves its
    turns to the others.

    Args:
        strata: at least one.
        tokenizer: one of transformers' tokenizers.
        window: tokens a window.
        tokens: tokens in all; `tokens // window` windows are filled.
        rng_of: by label, draws which stretch of a long document comes first.
        least: tokens that will do where there are no more; by default all.

    Raises:
        InputError: not even one window is asked for, or the documents do not fill enough.
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
        who = balance.next()
        found = next(turns[who], None)
        if found is None:
            balance.leave(who)
        else:
            filled.append(found)
            labels.append(strata[who].label)
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
    """What each window counts, 1 on average.

    With "corpus", the weighted mean of window losses estimates the mean over the corpus without
    bias, whatever the shares of the windows are; strata that got no window are left out of it.

    Args:
        labels: (windows,) stratum of each window.
        sizes: how much of the corpus each stratum stands for, by label.
        weighting: "none", every window the same; "corpus", a stratum as much as its size;
            "cluster", every stratum the same.

    Raises:
        InputError: no such weighting.

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
    """How much each document counts: its tokens, but no more than a window has.

    That is what it gives to a sample that takes documents uniformly, and no document can rule
    a corpus by its length.
    """
    return np.minimum(lengths, capacity)
