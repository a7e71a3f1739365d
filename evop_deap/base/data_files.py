"""Reading of text, JSON and YAML that a user may have written: every fault is one line.

A byte-order mark is accepted. Repeated keys, numbers that are not finite or too large, characters
that no file name or tokenizer takes, and deep nesting are refused, because the code that uses the
values could not report them well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError, one_line
from evop_deap.base.user_text import is_plain_text, shown

MOST_BYTES = 1 << 30
_MOST_LEVELS = 64
_MOST_INTEGER = 1 << 128  # states of random generators have 128 bits


def read_utf8(path: Path, name: str) -> str:
    """Return the text of a file, without a byte-order mark.

    Args:
        path: the file.
        name: the file in messages, such as "`config` run.yaml".

    Raises:
        InputError: the file cannot be read, is not UTF-8 or is larger than `MOST_BYTES`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{name} cannot be read: it is larger than {MOST_BYTES:,} bytes")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} cannot be read: it is not UTF-8 text ({error})") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or one_line(error)
        raise InputError(f"{name} cannot be read: {reason}") from error


def read_json(path: Path, name: str) -> Any:
    """Return the value in a JSON file; arguments and errors are those of `read_utf8`."""
    return _read(path, name, parse_json)


def read_yaml(path: Path, name: str) -> Any:
    """Return the value in a YAML file; arguments and errors are those of `read_utf8`."""
    return _read(path, name, parse_yaml)


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Example:
        >>> parse_json('{"a": [1, 2.5, null]}')
        {'a': [1, 2.5, None]}

    Raises:
        InputError: it is no JSON, or holds a value that is refused.
    """
    try:
        return _checked(json.loads(text, object_pairs_hook=_without_repeats))
    except Exception as error:  # nesting, long numbers and syntax each raise their own type
        raise InputError(f"it is not JSON: {_reason(error)}") from error


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text; dates are texts.

    Example:
        >>> parse_yaml("revision: 2026-01-13")
        {'revision': '2026-01-13'}

    Raises:
        InputError: it is no YAML, or holds a value that is refused.
    """
    import yaml

    from evop_deap.base.yaml_loader import PlainLoader

    try:
        return _checked(yaml.load(text, PlainLoader))
    except Exception as error:  # constructors of dates, numbers and keys each raise their own type
        raise InputError(f"it is not YAML: {_reason(error)}") from error


def _read(path: Path, name: str, parse: Callable[[str], Any]) -> Any:
    text = read_utf8(path, name)
    try:
        return parse(text)
    except InputError as error:
        raise InputError(f"{name} cannot be read: {error}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"it is nested deeper than {_MOST_LEVELS} levels"
    return one_line(error) or type(error).__name__


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the key {shown(twice)} twice")
    return found


def _checked(value: Any) -> Any:
    """Return the value if all its leaves can be used, without recursion.

    Raises:
        ValueError: a leaf is refused, or the nesting is too deep.
    """
    level, depth = [value], 0
    while level:
        if depth > _MOST_LEVELS:
            raise ValueError(f"it is nested deeper than {_MOST_LEVELS} levels")
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item.keys(), *item.values()]
            elif isinstance(item, list | tuple | set):
                below += item
            else:
                _check_leaf(item)
        level, depth = below, depth + 1
    return value


def _check_leaf(leaf: Any) -> None:
    if isinstance(leaf, str) and not is_plain_text(leaf):
        raise ValueError(f"it holds the text {shown(leaf)} with a character that is not text")
    if isinstance(leaf, float) and not math.isfinite(leaf):
        raise ValueError(f"it holds {leaf}, which is not a finite number")
    if isinstance(leaf, int) and abs(leaf) >= _MOST_INTEGER:
        raise ValueError("it holds a whole number that is too large")
