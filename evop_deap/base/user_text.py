"""Texts and values of a user in messages: short, on one line, in characters that can be shown."""

from __future__ import annotations

import reprlib
from typing import Any

_VALUE, _WORD, _LINE = 80, 200, 600  # characters


def shown(value: Any) -> str:
    """A user's value in a message, at most about 80 characters of it.

    Example:
        >>> shown("abc"), shown([1] * 50), len(shown("a" * 5000))
        ("'abc'", '[1, 1, 1, 1, 1, 1, ...]', 80)
    """
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = _VALUE
    brief.maxlevel = 3
    try:
        return _cut(brief.repr(value), 2 * _VALUE)
    except ValueError:  # Python does not write numbers of more than 4,300 digits
        return f"a {type(value).__name__} too long to show"


def message_line(message: object) -> str:
    """A message as one line: long words and long lines lose their middle, and signs are escaped.

    Example:
        >>> message_line("no such\\n  file: \\x1b[31m")
        'no such file: \\\\x1b[31m'
    """
    words = (_cut(word, _WORD) for word in str(message).split())
    line = _cut(" ".join(words), _LINE)
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in line
    )


def is_plain_text(text: str) -> bool:
    """Whether a text can be stored as UTF-8 and passed to the system: no NUL, no surrogates."""
    return "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = most - len("...")
    return f"{text[: kept - kept // 3]}...{text[-(kept // 3) :]}"
