"""What the mappings in `calibration.json` must hold, as far as loading and reports read it.

A file may hold more; `describe_set` says what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evop_deap.base.typed import Count, Size


@dataclass(frozen=True)
class DocumentEntry:
    """A document that windows were cut from."""

    id: str
    sha256: str
    windows: tuple[Count, ...]


@dataclass(frozen=True)
class DrawnEntry:
    """The windows of a calibration set."""

    fingerprint: str
    windows: tuple[Any, ...]
    documents: tuple[DocumentEntry, ...]


@dataclass(frozen=True)
class CorpusEntry:
    """The corpus of a calibration set."""

    name: str
    documents: Count


@dataclass(frozen=True)
class ClusterEntry:
    """A cluster of documents."""

    cluster: int
    documents: Count
    tokens: Count
    windows: Count
    words: tuple[str, ...]
    sample: str


@dataclass(frozen=True)
class MapEntry:
    """A map of documents: columns of whole numbers, joined by spaces."""

    x: str
    y: str
    cluster: str
    heard: str

    def __post_init__(self) -> None:
        columns = [column.split() for column in (self.x, self.y, self.cluster, self.heard)]
        if len({len(column) for column in columns}) != 1:
            raise ValueError("all columns must be equally long")
        if not all(cell.lstrip("-").isdecimal() for column in columns for cell in column):
            raise ValueError("all columns must hold whole numbers")


@dataclass(frozen=True)
class ClusteringEntry:
    """The clusters of a calibration set."""

    clusters: tuple[ClusterEntry, ...]
    map: MapEntry | None = None


@dataclass(frozen=True)
class ManifestEntry:
    """The manifest of a calibration set, as far as a report or a healing reads it."""

    calibration: DrawnEntry
    corpus: CorpusEntry
    window: Size
    heldout: DrawnEntry | None = None
    clustering: ClusteringEntry | None = None
