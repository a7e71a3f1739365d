"""The files and folders of text that a command reads, which it does not write over."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.base.user_paths import existing_path
from evop_deap.text.file_types import READABLE_SUFFIXES, suffix_of


def check_not_read(
    path: Path,
    argument: str,
    source: str,
    names: Iterable[str],
    suffixes: tuple[str, ...] = READABLE_SUFFIXES,
) -> None:
    """Refuse a path that is a file to read, or that would be read as one of a folder next time.

    Args:
        path: the file to write.
        argument: the user's name for it.
        source: the user's argument that names what is read.
        names: its values; those that name no file or folder are let pass.
        suffixes: endings of the files that are read in a folder.

    Raises:
        InputError: it is such a file.
    """
    target = Path(os.path.realpath(path))
    for name in names:
        found = existing_path(name, source)
        if found is None:
            continue
        read = Path(os.path.realpath(found))
        if target == read:
            how = "is"
        elif read.is_dir() and read in target.parents and suffix_of(target) in suffixes:
            how = "lies in"
        else:
            continue
        raise InputError(
            f"`{argument}` {path} {how} the `{source}` {name}, which is read and stays as it is: "
            "choose another path"
        )
