"""Shared parts of the command lines: one-line errors, and flags made from a settings class."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import typing
from collections.abc import Callable
from typing import Any, NoReturn

from evop_deap.base.errors import EvopError
from evop_deap.base.interruption import Interrupted
from evop_deap.settings.options import Settings

Option = dataclasses.Field[Any]


class Parser(argparse.ArgumentParser):
    """An argument parser with one-line errors that keeps the line breaks of its description."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def error(self, message: str) -> NoReturn:
        """Print one line instead of the whole usage, and exit with 2."""
        self.exit(2, f"{self.prog}: error: {message} (see --help)\n")


def answer(
    prog: str,
    work: Callable[[], str],
    advice: Callable[[], str] = lambda: "nothing was written",
) -> int:
    """Print the result of `work`, or its error on one line; return the exit code.

    Args:
        prog: name of the command.
        work: does the command's work and returns the text to print.
        advice: returns what to print after an interruption.
    """
    try:
        print(work())  # noqa: T201
    except EvopError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt as stop:
        print(f"\ninterrupted; {advice()}", file=sys.stderr)  # noqa: T201
        return 128 + (stop.number if isinstance(stop, Interrupted) else signal.SIGINT)
    return 0


def add_flags(
    parser: argparse.ArgumentParser,
    settings: type[Settings],
    wanted: Callable[[Option], bool] = lambda option: True,
) -> None:
    """Add a flag for each wanted field, in the field's group and with its help.

    Flags have no default: only those that were given override a configuration file.
    """
    groups: dict[str, Any] = {}
    hints = typing.get_type_hints(settings)
    for option in filter(wanted, dataclasses.fields(settings)):
        name = option.metadata["group"]
        group = groups.get(name) or groups.setdefault(name, parser.add_argument_group(name))
        _add_flag(group, option, hints[option.name])


def _add_flag(group: Any, option: Option, kind: Any) -> None:
    flag = "--" + option.name.replace("_", "-")
    text = option.metadata["help"].replace("%", "%%")
    common = {"dest": option.name, "default": argparse.SUPPRESS}
    if kind is bool or bool in typing.get_args(kind):
        group.add_argument(flag, action=argparse.BooleanOptionalAction, help=text, **common)
        return
    plain = next((t for t in typing.get_args(kind) or (kind,) if t in (int, float, str)), str)
    read = option.metadata["read"] or plain
    lists = isinstance(option.default, tuple) and option.metadata["read"] is None
    many = {"nargs": "+"} if lists else {}
    if option.default not in (dataclasses.MISSING, None, ()):
        listed = option.default if many else [option.default]
        text += f" (default: {' '.join(map(str, listed))})"
    choices = option.metadata["choices"]
    metavar = "|".join(choices) or option.metadata["metavar"] or option.name.upper()
    group.add_argument(flag, type=read, metavar=metavar, help=text, **many, **common)
