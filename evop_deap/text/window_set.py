"""Token windows of equal length, and the source of their tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from evop_deap.text.tokens import Tokens


@dataclass(frozen=True)
class Stretch:
    """Consecutive tokens of one document.

    Attributes:
        document: id of the document.
        start: position of the first token in the document, special tokens not counted.
        tokens: number of tokens.
    """

    document: str
    start: int
    tokens: int


@dataclass(frozen=True, eq=False)
class WindowSet:
    """Token windows and the source of their tokens.

    A window is the prefix, then its stretches with the tokens of a blank line between them,
    cut at the window's length.

    Attributes:
        tokens: token ids, (windows, window).
        stretches: the stretches of each window, in order.
        prefix: special tokens that every window starts with, such as the beginning of sequence.
    """

    tokens: Tokens
    stretches: tuple[tuple[Stretch, ...], ...]
    prefix: tuple[int, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over shape and token ids; equal on every machine."""
        digest = hashlib.sha256(repr(self.tokens.shape).encode())
        digest.update(self.tokens.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def documents(self) -> frozenset[str]:
        """Ids of all documents in the windows."""
        return frozenset(s.document for stretches in self.stretches for s in stretches)
