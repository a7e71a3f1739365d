"""Evaluations of a pruned model that another cell of the same evaluation has made before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.board.making.run_files import Run, read_runs

ANSWERS = "answers"
"""The folder of answers in that of a board, or of the boards of a model."""

_EVALUATION = (
    "model_sha256", "dtype", "texts", "tasks", "limit", "answered", "arithmetic", "prompts",
)  # fmt: skip


@dataclass(frozen=True)
class Beside:
    """What a board shares with other boards of the same model.

    Attributes:
        folders: of the other boards, whose evaluations of the same models are taken over.
        answers: the folder of the answers of all boards; None for the board's own.
        patterns: granularity and dropped units of patterns that answer the questions along.
    """

    folders: Sequence[Path] = ()
    answers: Path | None = None
    patterns: Sequence[tuple[str, Sequence[str]]] = ()


def evaluated_before(folders: Sequence[Path], run: Run) -> dict[str, Any] | None:
    """Return the evaluation of the same model on the same texts and tasks; None if there is none.

    Args:
        folders: folders of boards.
        run: a run without its evaluation.
    """
    if (key := _key(run)) is None:
        return None
    for folder in folders:
        for other in read_runs(folder):
            if _key(other) == key:
                judged: dict[str, Any] = other["judged"]
                return judged
    return None


def _key(run: Run) -> str | None:
    """What the evaluation of a run depends on; None for merged blocks, which no pattern names."""
    found, protocol = run["found"], run["protocol"]
    if found["merged"]:
        return None
    named = {name: protocol.get(name) for name in _EVALUATION}
    if found.get("compensated"):
        named["compensate"] = protocol["compensate"]
    dropped = sorted(found["dropped"])
    return json.dumps([run["cell"]["granularity"], dropped, named], sort_keys=True)
