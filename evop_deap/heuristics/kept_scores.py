"""Scores of a model's units that are kept in the user's cache, so that no pass is run twice."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evop_deap.base.kept_answers import KeptAnswer, KeptAnswers, code_of
from evop_deap.heuristics.task import ModelParts, Task, UnitScores


class KeptScores:
    """The scores of `SCORERS` for one model and its windows.

    New scores are held back until `release`. So a search that is killed before its first
    checkpoint and resumed executes what an uninterrupted one does.

    Args:
        parts: the model and its windows.
        fingerprint: hash of the model's content.
        folder: of the answers; None to keep none.
    """

    def __init__(self, parts: ModelParts, fingerprint: str, folder: Path | None) -> None:
        from evop_deap.models.streaming.computation import computation_of

        facts = computation_of(parts.model, fingerprint) if folder is not None else None
        self._kept = KeptAnswers(None if facts is None else folder)
        windows = np.ascontiguousarray(parts.windows, "<i8")
        self._about = {
            "computation": facts,
            "parts": parts.anatomy.granularity,
            "windows": hashlib.sha256(windows.data).hexdigest(),
            "shape": list(windows.shape),
            "code": code_of("heuristics"),
        }
        self._waiting: list[tuple[dict[str, Any], KeptAnswer]] = []

    def known(self, task: Task, names: Collection[str]) -> dict[str, UnitScores]:
        """Return the scores of these heuristics with the cost of their pass; {} if unknown."""
        from evop_deap.heuristics.observing import watching_cost

        found = self._kept.recall(self._of(names))
        if found is None:
            return {}
        cost = watching_cost(task)
        return {name: UnitScores(scores, cost) for name, scores in found.value.items()}

    def hold(self, scores: Mapping[str, UnitScores]) -> None:
        """Keep these scores at the next `release`, if all are finite."""
        value = {name: dict(known.scores) for name, known in scores.items()}
        if all(math.isfinite(score) for by_unit in value.values() for score in by_unit.values()):
            self._waiting.append((self._of(scores), KeptAnswer(value)))

    def release(self) -> None:
        """Write the scores that were held back."""
        while self._waiting:
            self._kept.keep(*self._waiting.pop())

    def _of(self, names: Collection[str]) -> dict[str, Any]:
        return {**self._about, "heuristics": sorted(names)}
