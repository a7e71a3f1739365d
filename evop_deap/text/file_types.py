"""Types of text files by their names, packed or not, and the readable files of a folder."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError

TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst", ".raw", ".tokens")
# "None" and "NA" are words, too; surplus fields are no index, which would shift the columns: rows
# with them are refused.
_PLAIN = {"keep_default_na": False, "index_col": False}
TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    ".jsonl": ("json", {}),
    ".ndjson": ("json", {}),
    ".json": ("json", {}),
    ".csv": ("csv", {**_PLAIN}),
    ".tsv": ("csv", {**_PLAIN, "sep": "\t"}),
    ".parquet": ("parquet", {}),
}
"""The builder of `datasets` that reads a table, and its options, by suffix."""

READABLE_SUFFIXES = (*TEXT_SUFFIXES, *TABLES)
PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")

# Files that describe a data set, and so are no documents.
_ABOUT_STEMS = ("readme", "license", "licence", "changelog", "contributing", "citation")
_ABOUT_NAMES = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")


@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder, as paths.

    Attributes:
        readable: files to read, in the order of their paths.
        skipped: the other files that are not hidden.
    """

    readable: tuple[Path, ...]
    skipped: tuple[Path, ...]


def suffix_of(path: Path) -> str:
    """Return the suffix of the format: `.jsonl` for `a.jsonl.gz`."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in PACKED_SUFFIXES else suffix


def is_table(path: Path) -> bool:
    """Return whether the name of a file is that of a table."""
    return suffix_of(path) in TABLES


def obstacle(path: Path) -> str | None:
    """Return why a file of this name cannot be unpacked here; None if it can."""
    if path.suffix.lower() == ".zst" and importlib.util.find_spec("zstandard") is None:
        return "pip install zstandard to unpack it"
    return None


def folder_files(folder: Path) -> FolderFiles:
    """Return the readable files below `folder` and the others, sorted by path.

    Hidden files are neither. The files in which `datasets` describes a data set are skipped, and
    where the folder holds a table, its README.md and the like as well.

    Raises:
        InputError: there are none that can be read.
    """
    found = [path for path in sorted(folder.rglob("*")) if _is_visible(path, folder)]
    has_table = any(is_table(path) and not _describes(path) for path in found)
    readable = tuple(
        path
        for path in found
        if suffix_of(path) in READABLE_SUFFIXES
        and obstacle(path) is None
        and not _describes(path)
        and not (has_table and _is_about(path))
    )
    skipped = tuple(path for path in found if path not in set(readable))
    if not readable:
        kinds = sorted({path.suffix or path.name for path in skipped})
        listed = f"only {', '.join(kinds[:5])}" if kinds else "nothing"
        raise InputError(
            f"`corpus` {folder} must hold {', '.join(READABLE_SUFFIXES)} files "
            f"(or these with {', '.join(PACKED_SUFFIXES)}), but {listed} was found"
        )
    return FolderFiles(readable, skipped)


def _is_visible(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.is_file()


def _describes(path: Path) -> bool:
    """Return whether a file is a description that `datasets` has written."""
    return path.name.lower() in _ABOUT_NAMES


def _is_about(path: Path) -> bool:
    """Return whether a text is about the files beside it, such as a README.md."""
    is_text = suffix_of(path) in TEXT_SUFFIXES
    return is_text and path.name.lower().partition(".")[0] in _ABOUT_STEMS
