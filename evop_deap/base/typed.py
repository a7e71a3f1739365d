"""Plain JSON values as typed objects: every leaf is checked, and a wrong one is named by its path.

pydantic does the checking, on ordinary dataclasses; it is loaded when the first file is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Gt

from evop_deap.base.errors import InputError
from evop_deap.base.numbers import infinite_if_none
from evop_deap.base.user_text import message_line, shown

_T = TypeVar("_T")

Count = Annotated[int, Ge(0)]
"""A whole number of 0 or more."""

Size = Annotated[int, Gt(0)]
"""A whole number of 1 or more."""

_WORDS = {
    "bool": "true or false",
    "dataclass": "an object",
    "dict": "an object",
    "float": "a number",
    "greater_than": "a number above 0",
    "greater_than_equal": "a number of 0 or more",
    "int": "a whole number",
    "list": "a list",
    "mapping": "an object",
    "string": "a text",
    "tuple": "a list",
}


@dataclass(frozen=True)
class _Null:
    """Reads a value with null in another way: `read` is called before it is checked."""

    read: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self.read, handler(source))


@dataclass(frozen=True)
class Holding:
    """Annotates a mapping that has the fields of the dataclass `kind`, and perhaps more."""

    kind: type

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self._checked)

    def _checked(self, value: Any) -> Any:
        _validated(self.kind, value)
        return value


Loss = Annotated[float, _Null(infinite_if_none)]
"""A loss in a file: null is infinity."""


def typed(kind: type[_T], value: Any) -> _T:
    """Return JSON values as an object of a dataclass.

    Numbers, texts and truth values are not converted into each other; a list becomes a tuple.
    Fields that the dataclass does not have are left out.

    Example:
        >>> typed(tuple[float, ...], [1, 2.5])
        (1.0, 2.5)

    Raises:
        InputError: a value is missing or of another type; the message begins with its path, such
            as `search.cost: expected a number, found "abc"`.
    """
    from pydantic import ValidationError

    try:
        found: _T = _validated(kind, value)
        return found
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise InputError(_said(first)) from error


def _validated(kind: Any, value: Any) -> Any:
    # As JSON, because a list is no tuple and a mapping is no dataclass to a strict check in Python.
    adapter: Any = _adapter(kind)
    return adapter.validate_json(json.dumps(value), strict=True)


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _said(error: Any) -> str:
    path = _path(error["loc"])
    at = f"{path}: " if path else ""
    if error["type"] == "missing":
        return f"{at}is missing"
    word = error["type"].removesuffix("_type").removesuffix("_parsing")
    if word not in _WORDS:
        said = message_line(error["msg"].removeprefix("Value error, "))
        return f"{at}{said}, found {_json(error['input'])}"
    return f"{at}expected {_WORDS[word]}, found {_json(error['input'])}"


def _path(places: Sequence[int | str]) -> str:
    """The path of a value: `finalists[0].loss`."""
    steps = (f"[{at}]" if isinstance(at, int) else f".{message_line(at)}" for at in places)
    return "".join(steps).removeprefix(".")


def _json(value: Any) -> str:
    if isinstance(value, str):
        return '"' + shown(value)[1:-1] + '"'
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else shown(value)
