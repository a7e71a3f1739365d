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
from evop_deap.base.numbers import decimal_number, whole_number
from evop_deap.base.user_paths import why_no_path
from evop_deap.base.user_text import is_plain_text, message_line, shown
from evop_deap.settings.options import Settings

Option = dataclasses.Field[Any]


class Parser(argparse.ArgumentParser):
    """An argument parser with one-line errors that keeps the line breaks of its description."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )
        self.with_choices: set[str] = set()
        """Names of settings whose error lists the choices, for an empty value as well."""

    def error(self, message: str) -> NoReturn:
        """Print one line instead of the whole usage, and exit with 2."""
        self.exit(2, f"{self.prog}: error: {message_line(message)} (see --help)\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments; a value that is empty or no text ends in an error."""
        found = super().parse_args(args, namespace)
        for name, value in vars(found).items():
            for text in value if isinstance(value, list | tuple) else [value]:
                if text == "" and name in self.with_choices:
                    continue
                if isinstance(text, str) and not (text and is_plain_text(text)):
                    reason = f"{shown(text)} is not text" if text else "the value is empty"
                    self.error(f"argument --{name.replace('_', '-')}: {reason}")
        return found


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
        print(f"{prog}: error: {message_line(error)}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt as stop:
        print(f"\ninterrupted; {advice()}", file=sys.stderr)  # noqa: T201
        return 128 + (stop.number if isinstance(stop, Interrupted) else signal.SIGINT)
    return 0


def int_flag(text: str) -> int:
    """Read the value of a flag that is a whole number; all commands read it in the same way.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return whole_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"invalid int value: {shown(text)} (at most 18 digits from 0 to 9)"
        ) from error


def float_flag(text: str) -> float:
    """Read the value of a flag that is a number; all commands read it in the same way.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return decimal_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"invalid float value: {shown(text)} (digits from 0 to 9)"
        ) from error


def path_flag(text: str) -> str:
    """Return the value of a flag that names a file or folder, which need not exist.

    Raises:
        argparse.ArgumentTypeError: nothing can have this name.
    """
    if reason := why_no_path(text):
        raise argparse.ArgumentTypeError(f"{shown(text)} cannot be used: {reason}")
    return text


def add_flags(
    parser: Parser,
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
        if option.metadata["choices"]:
            parser.with_choices.add(option.name)


def _add_flag(group: Any, option: Option, kind: Any) -> None:
    flag = "--" + option.name.replace("_", "-")
    text = option.metadata["help"].replace("%", "%%")
    common = {"dest": option.name, "default": argparse.SUPPRESS}
    if kind is bool or bool in typing.get_args(kind):
        group.add_argument(flag, action=argparse.BooleanOptionalAction, help=text, **common)
        return
    plain = next((t for t in typing.get_args(kind) or (kind,) if t in (int, float, str)), str)
    read = option.metadata["read"] or {int: int_flag, float: float_flag, str: str}[plain]
    lists = isinstance(option.default, tuple) and option.metadata["read"] is None
    many = {"nargs": "+"} if lists else {}
    if option.default not in (dataclasses.MISSING, None, ()):
        listed = option.default if many else [option.default]
        text += f" (default: {' '.join(map(str, listed))})"
    choices = option.metadata["choices"]
    metavar = "|".join(choices) or option.metadata["metavar"] or option.name.upper()
    group.add_argument(flag, type=read, metavar=metavar, help=text, **many, **common)
