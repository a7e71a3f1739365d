"""The files of searches and of trainings, which other commands do not replace."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.runs.heal.heal_folder import HealFolder
from evop_deap.runs.storage.folder import RunFolder


def check_outside_runs(path: Path, argument: str, but: Collection[str] = ()) -> None:
    """Refuse a path that is a file of a search or of a training.

    Args:
        path: the path to write.
        argument: the user's name for it.
        but: names of a search's files that may be replaced.

    Raises:
        InputError: it is such a file.
    """
    kind = kind_of_run(path.parent)
    own = {
        "search": [one for one in RunFolder(path.parent).own if one.name not in but],
        "training": HealFolder(path.parent).own,
    }
    if kind is not None and path.name in {one.name for one in own[kind]}:
        raise InputError(
            f"`{argument}` {path} is a file of the {kind} in {path.parent}: choose another path"
        )


def kind_of_run(folder: Path) -> str | None:
    """Return "search" or "training" for the folder of one, else None."""
    if RunFolder(folder).has_settings:
        return "search"
    return "training" if HealFolder(folder).has_training else None
