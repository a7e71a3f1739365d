"""A listener to a training after pruning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class HealingListener:
    """A listener that does nothing. Subclass it to show progress."""

    def stage(self, text: str) -> None:
        """Called when a part of the work begins, such as loading a model."""

    def prepared(self, done: int, windows: int) -> None:
        """Called when the dense model has predicted `done` of so many windows."""

    def training(self, steps: int, given: float, dense: float) -> None:
        """Called before the training, with the validation losses to compare with."""

    def step(self, step: int, loss: float) -> None:
        """Called after each step of the optimiser, with the training loss."""

    def validated(self, row: Mapping[str, Any]) -> None:
        """Called after each validation, with the "step", "loss", "divergence" and "seconds"."""

    def close(self) -> None:
        """Called when the training is over or has failed."""
