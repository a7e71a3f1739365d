"""The content of `checkpoint.json`, and its types; `Checkpoint` says what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evop_deap.base.typed import Count, Loss, Size

Record = Mapping[str, float | bool | str | None]
Prefixes = tuple[tuple[Count, tuple[tuple[Count, ...], ...]], ...]


@dataclass(frozen=True)
class StoredRun:
    """What the checkpoint of an evolution and that of a heuristic have in common."""

    identity: Mapping[str, Any]
    rows: Mapping[str, tuple[float | Literal[False] | None, ...]]
    tokens: tuple[Size, ...]
    dense_cost: float
    dense_executed: float
    kept: Prefixes
    kept_alone: Prefixes
    records: tuple[Record, ...]
    cost: float
    cache_hits: Count
    seconds: float
    outputs: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class StoredEvolution(StoredRun):
    """The checkpoint of an evolution."""

    generation: Count
    population: tuple[str, ...]
    evaluated: tuple[str, ...]
    lost: tuple[str, ...]
    beside: Count
    picks: Mapping[str, str]
    restarted: Count
    best_since: Count
    rng_state: tuple[Any, ...]


@dataclass(frozen=True)
class StoredHeuristic(StoredRun):
    """The checkpoint of a heuristic."""

    best: str
    loss: Loss
    evaluations: Count
