"""What the mappings in `calibration.json` must hold, as far as it is read.

A file may hold more; `describe_set` says what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evop_deap.base.typed import Count, Size
from evop_deap.text.window_set import Stretch


@dataclass(frozen=True)
class DocumentEntry:
    """A document that windows were cut from."""

    id: str
    sha256: str
    windows: tuple[Count, ...]


@dataclass(frozen=True)
class DrawnEntry:
    """One part of a calibration set, from which its windows can be built again."""

    fingerprint: str
    prefix: tuple[int, ...]
    documents: tuple[DocumentEntry, ...]
    windows: tuple[tuple[Stretch, ...], ...]
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True)
class TokenizerEntry:
    """The tokenizer that the windows were made with."""

    fingerprint: str


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
    """The manifest of a calibration set."""

    calibration: DrawnEntry
    heldout: DrawnEntry
    tokenizer: TokenizerEntry
    corpus: CorpusEntry
    window: Size
    validation: DrawnEntry | None = None
    compensation: DrawnEntry | None = None
    clustering: ClusteringEntry | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
