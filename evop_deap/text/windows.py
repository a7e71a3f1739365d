"""Packing of ordered documents into token windows of equal length, without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from evop_deap.base.errors import InputError
from evop_deap.text.documents import Document
from evop_deap.text.tokens import Tokens, special_prefix, tokenised
from evop_deap.text.window_set import Stretch, WindowSet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SEPARATOR = "\n\n"
_BATCH_DOCUMENTS = 32
_BATCH_CHARACTERS = 1_000_000


def check_window(window: int, context: int | None) -> None:
    """Refuse a window that is too short to predict a token or longer than the model's context.

    Args:
        window: tokens in a window.
        context: the longest input of the model in tokens; None for no limit.

    Raises:
        InputError: `window` is below 2 or above `context`.
    """
    if window < 2:
        raise InputError(
            f"`window` must be at least 2, because no first token is predicted, but got {window}"
        )
    if context is not None and window > context:
        raise InputError(
            f"`window` must be at most the model's context of {context} tokens, but got {window}"
        )


def pack_windows(
    documents: Sequence[Document],
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    tokens: int,
    rng: np.random.Generator,
    budget_name: str = "tokens",
) -> WindowSet:
    """Fill windows with the documents in their order, as `WindowStream` does.

    Args:
        documents: in the order of use.
        tokenizer: one of transformers' tokenizers.
        window: tokens in a window.
        tokens: total number of tokens; `tokens // window` windows are filled.
        rng: draws which stretch of a long document comes first.
        budget_name: name of the user's argument for `tokens`.

    Raises:
        InputError: `tokens` is less than one window, or the documents do not fill all windows.
    """
    count = windows_in(tokens, window, budget_name)
    stream = WindowStream(documents, tokenizer, window=window, rng=rng)
    filled = list(islice(stream, count))
    if len(filled) < count:
        raise too_few(budget_name, tokens, window, len(filled), stream.left, len(documents))
    return _window_set(filled, stream.prefix)


def spare_windows(
    documents: Sequence[Document],
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    most: int,
    rng: np.random.Generator,
) -> WindowSet | None:
    """Return as many windows as the documents fill, up to `most`; None if they fill none.

    Args:
        documents: in the order of use; may be empty.
        tokenizer: one of transformers' tokenizers.
        window: tokens in a window.
        most: largest number of windows.
        rng: draws which stretch of a long document comes first.
    """
    stream = WindowStream(documents, tokenizer, window=window, rng=rng)
    filled = list(islice(stream, most))
    return _window_set(filled, stream.prefix) if filled else None


class WindowStream:
    """Iterator over windows filled with documents in their order, until these are used up.

    In each round, every document gives its next unread stretch of at most one window. A window
    that a stretch does not fill continues with the next stretch; the part of it that does not fit
    is dropped. Documents are tokenised only when needed.

    Args:
        documents: in the order of use.
        tokenizer: one of transformers' tokenizers.
        window: tokens in a window.
        rng: draws which stretch of a long document comes first. Each token of the document is
            equally likely to be in it, so that beginnings are not over-represented.

    Attributes:
        prefix: special tokens that every window starts with.
        left: at the end, the number of tokens in the last window, which was not filled.

    Raises:
        InputError: the window is too short.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        rng: np.random.Generator,
    ) -> None:
        self.prefix = special_prefix(tokenizer)
        self.left = 0
        self._capacity = capacity_of(window, self.prefix)
        self._separator = tokenised(tokenizer, [_SEPARATOR])[0]
        self._rounds = _rounds(documents, tokenizer, self._capacity, rng)

    def __iter__(self) -> Iterator[tuple[Tokens, tuple[Stretch, ...]]]:
        """Yield token ids (window,) and the stretches that they come from."""
        first = np.array(self.prefix, dtype=np.int64)
        parts, held, room = [first], list[Stretch](), self._capacity
        for document, start, piece in self._rounds:
            if held:
                parts.append(self._separator[:room])
                room -= len(parts[-1])
                if room == 0:
                    yield np.concatenate(parts), tuple(held)
                    parts, held, room = [first], [], self._capacity
            parts.append(piece[:room])
            held.append(Stretch(document, start, len(parts[-1])))
            room -= len(parts[-1])
            if room == 0:
                yield np.concatenate(parts), tuple(held)
                parts, held, room = [first], [], self._capacity
        self.left = self._capacity - room


def _window_set(
    filled: Sequence[tuple[Tokens, tuple[Stretch, ...]]], prefix: tuple[int, ...]
) -> WindowSet:
    return WindowSet(
        np.stack([row for row, _ in filled]),
        tuple(stretches for _, stretches in filled),
        prefix,
    )


def windows_in(tokens: int, window: int, budget_name: str) -> int:
    """Return how many windows a number of tokens makes.

    Raises:
        InputError: it makes none, or the window is too short.
    """
    check_window(window, None)
    if tokens < window:
        raise InputError(f"`{budget_name}` ({tokens}) must be at least `window` ({window})")
    return tokens // window


def capacity_of(window: int, prefix: Sequence[int]) -> int:
    """Return the number of tokens of text in a window, special tokens not counted.

    Raises:
        InputError: there is no room for any.
    """
    if window - len(prefix) < 1:
        raise InputError(
            f"`window` must leave room after the {len(prefix)} special tokens that start a text, "
            f"but got {window}"
        )
    return window - len(prefix)


def too_few(
    budget_name: str, tokens: int, window: int, filled: int, left: int, documents: int
) -> InputError:
    """Return the error for documents that fill fewer windows than requested."""
    remedy = f"lower it to {filled * window}" if filled else "lower `window` as well"
    return InputError(
        f"`{budget_name}` ({tokens}) asks for {tokens // window} windows of {window} tokens, but "
        f"the {documents} documents fill only {filled} ({filled * window + left} tokens); "
        f"{remedy}, or give a larger corpus"
    )


def cut_points(length: int, capacity: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Cut `length` tokens into stretches of `capacity`, in a random order.

    Returns:
        (start, end) of each stretch; the probability to be next is proportional to its length.
    """
    starts = np.arange(0, length, capacity)
    if len(starts) < 2:
        return [(0, length)] if length else []
    ends = np.minimum(starts + capacity, length)
    # Sorting exponential variables with the lengths as rates gives a weighted random order.
    arrivals = rng.exponential(size=len(starts)) / (ends - starts)
    return [(int(starts[index]), int(ends[index])) for index in np.argsort(arrivals)]


def _rounds(
    documents: Sequence[Document],
    tokenizer: PreTrainedTokenizerBase,
    capacity: int,
    rng: np.random.Generator,
) -> Iterator[tuple[str, int, Tokens]]:
    """Yield id, start and tokens of one stretch of each document, round after round."""
    unread: list[tuple[str, Tokens, list[tuple[int, int]]]] = []
    for batch in _batches(documents):
        texts = [document.text for document in batch]
        for document, ids in zip(batch, tokenised(tokenizer, texts), strict=True):
            cuts = cut_points(len(ids), capacity, rng)
            if cuts:
                (start, end), *rest = cuts
                yield document.id, start, ids[start:end]
                if rest:
                    unread.append((document.id, ids, rest))
    while unread:
        for document_id, ids, cuts in unread:
            start, end = cuts.pop(0)
            yield document_id, start, ids[start:end]
        unread = [entry for entry in unread if entry[2]]


def _batches(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """Yield small batches of documents, smaller if they are long, because most are never needed."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if len(batch) == _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
