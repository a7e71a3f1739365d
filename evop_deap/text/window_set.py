"""Token windows, all of one length, and where their tokens are from."""

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
        tokens: how many.
    """

    document: str
    start: int
    tokens: int


@dataclass(frozen=True, eq=False)
class WindowSet:
    """Token windows and where their tokens are from.

    A window is the prefix, then its stretches with the tokens of a blank line between them,
    cut at the window's length.

    Attributes:
        tokens: token ids, (windows, window).
        stretches: of each window, in order.
        prefix: special tokens that every window starts with, such as the beginning of sequence.
    """

    tokens: Tokens
    stretches: tuple[tuple[Stretch, ...], ...]
    prefix: tuple[int, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over shape and token ids, the same on every machine."""
        digest = hashlib.sha256(repr(self.tokens.shape).encode())
        digest.update(self.tokens.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def documents(self) -> frozenset[str]:
        """Ids of the documents that any window is from."""
        return frozenset(s.document for stretches in self.stretches for s in stretches)
