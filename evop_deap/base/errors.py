"""Errors that a user can correct, each with a message of one line.

Every message names the argument, the value it had and the values it may have. The command lines
print the message and exit with `exit_code`. Any other exception is a bug.
"""

from __future__ import annotations


class EvopError(Exception):
    """Base of every error that a user can correct."""

    exit_code = 2


class InputError(EvopError, ValueError):
    """An argument, a file or a setting that cannot be used."""


class UnsupportedModelError(EvopError, ValueError):
    """A model that cannot be pruned exactly; the message names the part that prevents it."""


class CheckpointError(EvopError, ValueError):
    """A checkpoint that is damaged, or that belongs to another run."""


class ExportError(EvopError, RuntimeError):
    """A pruned checkpoint that does not reproduce the model it was made from."""


class OutputError(EvopError, OSError):
    """A file or folder that cannot be written: a full disk, missing rights, a wrong path."""


def not_pickled(holder: object, held: str) -> InputError:
    """Return the error of pickling an object that other processes cannot share.

    Example:
        >>> not_pickled(object(), "a model")
        InputError('object holds a model and cannot be pickled: make one in each process')
    """
    kind = type(holder).__name__
    return InputError(f"{kind} holds {held} and cannot be pickled: make one in each process")


def one_line(error: object) -> str:
    """Return the message of another library's error on one line.

    Example:
        >>> one_line(ValueError("no such\\n  file"))
        'no such file'
    """
    return " ".join(str(error).split())
