"""The files of searches and of trainings, which other commands do not replace."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.runs.heal.heal_folder import HealFolder
from evop_deap.runs.storage.folder import RunFolder


def check_outside_runs(path: Path, argument: str, but: Collection[str] = ()) -> None:
    """Refuse a path that is a file of a search or of a training, or lies in a folder of one.

    Args:
        path: the path to write.
        argument: the user's name for it.
        but: names of a search's files that may be replaced.

    Raises:
        InputError: it is such a file, or lies in such a folder.
    """
    # The user's words make the better message; a link may lead elsewhere.
    for place in (path, Path(os.path.realpath(path))):
        for inner in (place, *place.parents):
            kind = kind_of_run(inner.parent)
            if kind is None or inner.name not in _own_names(inner.parent, kind):
                continue
            if inner != place:
                raise InputError(
                    f"`{argument}` {path} lies in {inner}, a folder of the {kind} in "
                    f"{inner.parent}: choose another path"
                )
            if kind == "training" or inner.name not in but:
                raise InputError(
                    f"`{argument}` {path} is a file of the {kind} in {inner.parent}: choose "
                    "another path"
                )


def kind_of_run(folder: Path) -> str | None:
    """Return "search" or "training" for the folder of one, else None."""
    if RunFolder(folder).has_settings:
        return "search"
    return "training" if HealFolder(folder).has_training else None


def _own_names(folder: Path, kind: str) -> set[str]:
    own = RunFolder(folder).own if kind == "search" else HealFolder(folder).own
    return {one.name for one in own}
