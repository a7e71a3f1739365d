"""What the mappings in a run's files must hold: the leaves that reports, exports and resuming read.

Each class lists the entries of one mapping in `result.json`, `history.jsonl` or `latency.json`; a
file may hold more. `SearchResult` and the recorder say what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from evop_deap.base.typed import Count, Holding, Loss, Size
from evop_deap.recovery.compensation.records import CutRecord


@dataclass(frozen=True)
class UnitEntry:
    """A unit of `result.json`."""

    name: str
    parameters: Count
    work: Count


@dataclass(frozen=True)
class LimitEntry:
    """A limit of the budget."""

    kind: str
    limit: float
    reached: float


@dataclass(frozen=True)
class ParametersEntry:
    """Sizes of the dense and the pruned model."""

    dense: Size
    pruned: Size


@dataclass(frozen=True)
class WorkEntry:
    """Executed work."""

    block_tokens: Count
    head_tokens: Count
    bytes_held: Count


@dataclass(frozen=True)
class FinalistEntry:
    """The pattern found, or another close pattern."""

    dropped: tuple[str, ...]
    loss: Loss
    behind: Loss
    error: float | None
    validation: float | None


@dataclass(frozen=True)
class ValidationEntry:
    """How the pattern was chosen."""

    contenders: Count
    windows: Count
    window: int | None
    fingerprint: str | None
    cost: float
    executed: float | None = None  # earlier versions did not write it


@dataclass(frozen=True)
class EffectEntry:
    """An effect that the surrogate has learned."""

    units: tuple[str, ...]
    factor: float
    low: float
    high: float


@dataclass(frozen=True)
class LearnedEntry:
    """All effects that the surrogate has learned."""

    units: tuple[EffectEntry, ...]
    worse_together: tuple[EffectEntry, ...]
    better_together: tuple[EffectEntry, ...]


@dataclass(frozen=True)
class CheckpointEntry:
    """Sizes of the checkpoint that a run has written."""

    layers: Count
    half_layers: Count
    parameters: Count
    zeroed: Count
    bytes: Count


@dataclass(frozen=True)
class RefusalEntry:
    """A pattern that cannot be exported."""

    dropped: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class AsideEntry:
    """Losses on the windows kept aside from compensation."""

    pruned: float | None
    compensated: float | None


@dataclass(frozen=True)
class GainEntry(AsideEntry):
    """Losses on the windows that decided whether compensation was taken."""

    windows: Count
    fingerprint: str


@dataclass(frozen=True)
class CompensationEntry:
    """The outcome of compensation."""

    asked: str
    taken: bool
    reason: str | None
    cuts: tuple[CutRecord, ...]
    windows: Count
    window: int | None
    fingerprint: str | None
    left_out: Count
    aside: AsideEntry | None
    validation: GainEntry | None
    cost: float


@dataclass(frozen=True)
class AnswersEntry:
    """The outcome on held-out questions, by model: "dense", "pruned" and "compensated"."""

    searched: Size
    validation: Size
    heldout: Size
    fingerprint: str
    loss: Mapping[str, float | None]
    accuracy: Mapping[str, float]


@dataclass(frozen=True)
class GenerationEntry:
    """A row of `history.jsonl`."""

    gen: Count
    nevals: Count
    lost: Count
    hits: Count
    evaluations: Count
    cost: float
    min: float | None
    avg: float | None
    max: float | None
    diversity: float | None
    block_tokens: Count
    head_tokens: Count
    seconds: float
    dropped: tuple[str, ...]
    drops: Mapping[str, Count]
    fit: float | None = None
    cover: float | None = None
    trusted: bool = False


@dataclass(frozen=True)
class LatencyEntry:
    """The content of `latency.json`."""

    milliseconds: Mapping[str, float]
    rest: float


Units = tuple[Annotated[Mapping[str, Any], Holding(UnitEntry)], ...]
Limits = tuple[Annotated[Mapping[str, Any], Holding(LimitEntry)], ...]
Parameters = Annotated[Mapping[str, int], Holding(ParametersEntry)]
WorkDone = Annotated[Mapping[str, int], Holding(WorkEntry)]
Finalists = tuple[Annotated[Mapping[str, Any], Holding(FinalistEntry)], ...]
Validation = Annotated[Mapping[str, Any], Holding(ValidationEntry)]
CompensationDone = Annotated[Mapping[str, Any], Holding(CompensationEntry)]
AnswersDone = Annotated[Mapping[str, Any], Holding(AnswersEntry)]
Refusals = tuple[Annotated[Mapping[str, Any], Holding(RefusalEntry)], ...]
Learned = Annotated[Mapping[str, Any], Holding(LearnedEntry)]
CheckpointSizes = Annotated[Mapping[str, int], Holding(CheckpointEntry)]
