"""Texts of a user that name a file or folder, or may name one."""

from __future__ import annotations

import errno
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.base.user_text import shown

_NO_NAME = (errno.ENAMETOOLONG, errno.EINVAL)


def existing_path(text: str, argument: str) -> Path | None:
    """The path that a text names, or None if nothing has this name or nothing can have it.

    Args:
        text: a path, or a value of another kind, such as a list or a hub id; ~ is the home folder.
        argument: the user's argument, for messages.

    Raises:
        InputError: whether something has this name cannot be found out: links in a circle, or a
            folder without the right to look into it.
    """
    path = _expanded(text)
    try:
        if not text:
            return None
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno in _NO_NAME:
            return None
        raise InputError(f"`{argument}` {shown(text)} cannot be read: {error.strerror}") from error
    return path


def why_no_path(text: str) -> str | None:
    """Why no file or folder can have this name, or None: whether one has it does not matter.

    Example:
        >>> why_no_path("runs/demo"), why_no_path(""), why_no_path("a" * 5000)
        (None, 'it is empty', 'File name too long')
    """
    if not text:
        return "it is empty"
    try:
        Path(text).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        return str(error)
    except OSError as error:
        return error.strerror
    return None


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user
        return Path(text)
