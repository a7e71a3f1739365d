"""The special tokens that evaluation windows begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evop_deap.text.tokens import special_prefix

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class WindowStart:
    """The special tokens that a tokenizer puts before a text, and the windows that have them.

    Attributes:
        ids: token ids; empty where the tokenizer adds none.
        names: the tokens as text.
        everywhere: whether every window begins with them, or only the first.

    Example:
        >>> WindowStart((2,), ("<bos>",)).words
        'every window begins with <bos>'
        >>> WindowStart((2,), ("<bos>",), everywhere=False).words
        'only the first window begins with <bos>'
    """

    ids: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    everywhere: bool = True

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, *, everywhere: bool) -> WindowStart:
        """Return what the tokenizer puts before a text."""
        ids = special_prefix(tokenizer)
        return cls(ids, tuple(map(str, tokenizer.convert_ids_to_tokens(list(ids)))), everywhere)

    @property
    def repeated(self) -> tuple[int, ...]:
        """Token ids at the beginning of every window."""
        return self.ids if self.everywhere else ()

    @property
    def given(self) -> int:
        """Number of first tokens in a window that are not predicted."""
        return max(1, len(self.repeated))

    @property
    def shown(self) -> str:
        """The tokens as text, separated by spaces."""
        return " ".join(self.names)

    @property
    def words(self) -> str:
        """What windows begin with, in words."""
        if not self.ids:
            return "the tokenizer puts no special token before a text"
        which = "every window begins" if self.everywhere else "only the first window begins"
        return f"{which} with {self.shown}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"tokens": list(self.names), "every_window": self.everywhere}
