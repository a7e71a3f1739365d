"""What the command lines share: how they refuse, and flags made of the settings' own fields."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Callable
from typing import Any, NoReturn

from evop_deap.config import SearchConfig

Option = dataclasses.Field[Any]


class Parser(argparse.ArgumentParser):
    """Refuses in one line instead of with the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message} (see --help)\n")


def add_settings(
    parser: argparse.ArgumentParser, wanted: Callable[[Option], bool] = lambda option: True
) -> None:
    """Flags from the fields of `SearchConfig`, in its groups and with its help."""
    groups: dict[str, Any] = {}
    hints = typing.get_type_hints(SearchConfig)
    for option in filter(wanted, dataclasses.fields(SearchConfig)):
        name = option.metadata["group"]
        group = groups.get(name) or groups.setdefault(name, parser.add_argument_group(name))
        _add_flag(group, option, hints[option.name])


def _add_flag(group: Any, option: Option, kind: Any) -> None:
    """A flag without a default of its own, so that only what was given overrides a file."""
    flag = "--" + option.name.replace("_", "-")
    text = option.metadata["help"].replace("%", "%%")
    common = {"dest": option.name, "default": argparse.SUPPRESS}
    if kind is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, help=text, **common)
        return
    plain = next((t for t in typing.get_args(kind) or (kind,) if t in (int, float, str)), str)
    many = {"nargs": "+"} if option.default == () else {}
    if option.default not in (dataclasses.MISSING, None, ()):
        text += f" (default: {option.default})"
    choices = option.metadata["choices"]
    metavar = "|".join(choices) or option.metadata["metavar"] or option.name.upper()
    group.add_argument(flag, type=plain, metavar=metavar, help=text, **many, **common)
