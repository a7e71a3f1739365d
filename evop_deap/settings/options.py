"""Base of the settings dataclasses, whose fields hold their help text, bounds and choices.

The command line, the configuration file and the library share them.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.user_text import is_plain_text, shown

if TYPE_CHECKING:
    from typing_extensions import Self

REQUIRED = object()
_MOST = 2**63
_BOUNDS = {
    "least": (operator.ge, "at least"),
    "most": (operator.le, "at most"),
    "above": (operator.gt, "above"),
    "below": (operator.lt, "below"),
}


def option(
    default: Any,
    group: str,
    text: str,
    *,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    read: Callable[[str], Any] | None = None,
    **bounds: Any,
) -> Any:
    """Return a dataclass field with its help and bounds.

    Args:
        default: of the field, or `REQUIRED`.
        group: heading in the help.
        text: help of the flag.
        metavar: name of the value in the help.
        choices: the allowed values; any if empty.
        read: converts the flag's text to the field's value, where that is no single value.
        bounds: `least` and `most` (inclusive), `above` and `below` (exclusive).
    """
    metadata = {
        "group": group,
        "help": text,
        "metavar": metavar,
        "choices": choices,
        "read": read,
        "bounds": bounds,
    }
    if default is REQUIRED:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of settings with fields made by `option`; values are checked on construction.

    Raises:
        InputError: a value has the wrong type, is out of bounds, or is not among the choices.
    """

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for given in dataclasses.fields(self):
            value, choices = getattr(self, given.name), given.metadata["choices"]
            value = _coerced(given.name, value, hints[given.name])
            for number in value if isinstance(value, tuple) else [value]:
                _check_bounds(given.name, number, given.metadata["bounds"])
            if choices and value not in choices:
                known = " or ".join(f"'{choice}'" for choice in choices)
                raise InputError(f"`{given.name}` must be {known}, but got {shown(value)}")
            _check_text(given.name, value)
            object.__setattr__(self, given.name, value)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON and YAML values."""
        plain = dataclasses.asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}


def _coerced(name: str, value: Any, kind: Any) -> Any:
    """Return the value converted to its field's type.

    An int is accepted for a float, a list for a tuple, and a number for a tuple of floats.
    """
    several = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(number, int) and abs(number) >= _MOST for number in several):
        raise InputError(f"`{name}` must be below 2 to the power of 63, but got {shown(value)}")
    choices = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and type(None) in choices:
        return None
    (plain,) = (choice for choice in choices if choice is not type(None))
    if plain == tuple[str, ...]:
        if isinstance(value, list | tuple) and all(type(v) in (str, int, float) for v in value):
            return tuple(str(item) for item in value)
    elif plain == tuple[int, ...]:
        if isinstance(value, list | tuple) and all(type(item) is int for item in value):
            return tuple(value)
    elif plain == tuple[float, ...]:
        given = () if value is None else several
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in given):
            return tuple(map(float, given))
    elif plain is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, plain) and (plain is bool or not isinstance(value, bool)):
        return value
    words = {
        str: "a text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        tuple[int, ...]: "a list of whole numbers",
        tuple[float, ...]: "a number or a list of numbers",
    }
    raise InputError(
        f"`{name}` must be {words.get(plain, 'a list of texts')}, but got {shown(value)}"
    )


def _check_text(name: str, value: Any) -> None:
    for text in value if isinstance(value, tuple) else [value]:
        # A NUL is left to the reader of a path, which says what the path may be.
        if isinstance(text, str) and not (text and is_plain_text(text.replace("\0", ""))):
            raise InputError(f"`{name}` must be a text that is not empty, but got {shown(text)}")


def _check_bounds(name: str, value: Any, bounds: Mapping[str, float]) -> None:
    if value is None or not bounds:
        return
    holds = all(_BOUNDS[kind][0](value, bound) for kind, bound in bounds.items())
    if not holds or not math.isfinite(value):
        words = [f"{_BOUNDS[kind][1]} {bound}" for kind, bound in bounds.items()]
        finite = [] if math.isfinite(value) else ["finite"]
        raise InputError(f"`{name}` must be {' and '.join(words + finite)}, but got {value}")
