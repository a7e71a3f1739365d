"""Folders that `save_to_disk` of the `datasets` library has written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError

_TRAIN = "train"


def is_saved_dataset(folder: Path) -> bool:
    """Return whether a folder holds a saved data set, or several splits of one."""
    one = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return one or (folder / "dataset_dict.json").is_file()


def saved_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a saved data set; of several splits, those of `train` or of the only one.

    Raises:
        InputError: it cannot be read, or it has several splits and none is `train`.
    """
    import datasets

    from evop_deap.text.readers import reason_of

    try:
        found: Any = datasets.load_from_disk(str(folder))
    except Exception as error:  # Arrow and JSON raise many types
        raise InputError(f"`corpus`: cannot read {folder}: {reason_of(error)}") from error
    if isinstance(found, datasets.DatasetDict):
        name = _TRAIN if _TRAIN in found else next(iter(found), "")
        if len(found) != 1 and name != _TRAIN:
            splits = ", ".join(str(folder / split) for split in found) or "none"
            raise InputError(f"`corpus` {folder} has several splits: name one of them ({splits})")
        found = found[name]
    try:
        yield from found
    except Exception as error:  # so do decoders of pictures and sounds
        raise InputError(f"`corpus`: cannot read {folder}: {reason_of(error)}") from error
