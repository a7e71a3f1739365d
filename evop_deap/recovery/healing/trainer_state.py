"""What the state of transformers' Trainer must hold to go on with a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evop_deap.base.typed import Count, typed


@dataclass(frozen=True)
class _Validation:
    """A row of the log with a validation."""

    step: Count
    eval_loss: float
    eval_divergence: float
    seconds: float = 0.0


@dataclass(frozen=True)
class _Step:
    """A row of the log with a training loss."""

    step: Count
    loss: float


@dataclass(frozen=True)
class _Control:
    """The part of a callback's state that says whether the training has ended."""

    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _State:
    """The state, as far as going on needs it."""

    global_step: Count
    log_history: tuple[Mapping[str, Any], ...]
    best_global_step: Count | None = None
    stateful_callbacks: Mapping[str, _Control | tuple[_Control, ...]] = field(default_factory=dict)


def check_state(state: Any) -> None:
    """Check the content of a `trainer_state.json`.

    Raises:
        InputError: a value is missing or of another type; the message names its path.
    """
    for row in typed(_State, state).log_history:
        if "eval_loss" in row:
            typed(_Validation, row)
        elif "loss" in row:
            typed(_Step, row)
