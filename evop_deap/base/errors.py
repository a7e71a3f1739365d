"""What can go wrong because of something outside the code, said in one line each.

Every message names the argument, what it was and what would do. The command lines print
the message and leave with `exit_code`; anything that is not an `EvopError` is a defect.
"""

from __future__ import annotations


class EvopError(Exception):
    """Base of every error that a user can mend."""

    exit_code = 2


class InputError(EvopError, ValueError):
    """An argument, a file or a setting that cannot be used."""


class UnsupportedModelError(EvopError, ValueError):
    """A model that cannot be pruned exactly; the message says which part stands in the way."""


class CheckpointError(EvopError, ValueError):
    """A checkpoint that is damaged, or that belongs to another run."""


class ExportError(EvopError, RuntimeError):
    """A pruned checkpoint that does not reproduce the model it was made from."""


class OutputError(EvopError, OSError):
    """A file or folder that cannot be written: a full disk, missing rights, a wrong path."""


def one_line(error: object) -> str:
    """What an error of another library says, on one line.

    Example:
        >>> one_line(ValueError("no such\\n  file"))
        'no such file'
    """
    return " ".join(str(error).split())
