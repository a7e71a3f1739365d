"""Multiple-choice questions as token ids."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile


@dataclass(frozen=True)
class Option:
    """One option of a question, with the text before it.

    Attributes:
        tokens: ids of the text before the option and of the option.
        start: position of the option's first token, at least 1.
        characters: length of the option, by which its log-likelihood is divided.
    """

    tokens: tuple[int, ...]
    start: int
    characters: int


@dataclass(frozen=True)
class Question:
    """A multiple-choice question.

    Attributes:
        options: two or more.
        right: position of the right option.
        place: where it comes from, such as "arc_easy.dev.jsonl:3".
    """

    options: tuple[Option, ...]
    right: int
    place: str = ""

    @cached_property
    def shared(self) -> int:
        """Number of tokens with which all options begin, without the last token of each.

        A model need not read the last token of an option, because it predicts nothing.
        """
        read = [option.tokens[:-1] for option in self.options]
        same = (len(set(column)) == 1 for column in zip(*read, strict=False))
        return sum(takewhile(bool, same))

    @cached_property
    def length(self) -> int:
        """Number of tokens that a model reads to answer it, those of `shared` once."""
        return self.shared + sum(len(o.tokens) - 1 - self.shared for o in self.options)

    @property
    def forks(self) -> bool:
        """Whether two options or more go on in tokens of their own after a shared text."""
        own = sum(len(option.tokens) - 1 > self.shared for option in self.options)
        return self.shared > 0 and own > 1

    @property
    def longest(self) -> int:
        """Number of tokens of the longest option, with the text before it."""
        return max(len(option.tokens) for option in self.options)

    @property
    def predicted(self) -> int:
        """Number of tokens that are predicted: those of the options."""
        return sum(len(option.tokens) - option.start for option in self.options)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the options and of the right one, wherever the question comes from."""
        plain = [(o.tokens, o.start, o.characters) for o in self.options]
        return hashlib.sha256(repr((plain, self.right)).encode()).hexdigest()


@dataclass(frozen=True)
class Questions:
    """Questions in order, each of which has a loss as a window of text has.

    Example:
        >>> yes, no = Option((5, 6, 7), 2, 3), Option((5, 6, 8, 9), 2, 2)
        >>> asked = Questions((Question((yes, no), right=0),))
        >>> len(asked), asked.size, asked.asked[0].predicted
        (1, 3, 3)
    """

    asked: tuple[Question, ...]

    def __len__(self) -> int:
        return len(self.asked)

    def some(self, places: Sequence[int]) -> Questions:
        """Return the questions at these places."""
        return Questions(tuple(self.asked[place] for place in places))

    @property
    def size(self) -> int:
        """Number of tokens that a model reads to answer all of them."""
        return sum(question.length for question in self.asked)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all questions in their order."""
        return hashlib.sha256("".join(q.fingerprint for q in self.asked).encode()).hexdigest()
