"""Listeners to a training after pruning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class HealingListener:
    """A listener that does nothing. Subclass it to show progress."""

    def stage(self, text: str) -> None:
        """Called when a part of the work begins, such as loading a model."""

    def warn(self, text: str) -> None:
        """Called when a part of the result is missing; told as a stage by default."""
        self.stage(text)

    def prepared(self, done: int, windows: int) -> None:
        """Called when the dense model has predicted `done` of so many windows."""

    def training(self, steps: int, given: float, dense: float) -> None:
        """Called before the training, with the validation losses to compare with."""

    def step(self, step: int, loss: float) -> None:
        """Called after each step of the optimiser, with the training loss."""

    def validated(self, row: Mapping[str, Any]) -> None:
        """Called after each validation, with the "step", "loss", "divergence" and "seconds"."""

    def finished(self, losses: Mapping[str, Mapping[str, float]]) -> None:
        """Called when all is written, with the loss of each model by text."""

    def close(self) -> None:
        """Called when the training is over or has failed."""


class HealingListeners(HealingListener):
    """Forwards each call to several listeners, in their order.

    Args:
        listeners: the listeners.

    Example:
        >>> HealingListeners(HealingListener(), HealingListener()).stage("loading the model")
    """

    def __init__(self, *listeners: HealingListener) -> None:
        self._listeners = listeners

    def stage(self, text: str) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.stage(text)

    def warn(self, text: str) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.warn(text)

    def prepared(self, done: int, windows: int) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.prepared(done, windows)

    def training(self, steps: int, given: float, dense: float) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.training(steps, given, dense)

    def step(self, step: int, loss: float) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.step(step, loss)

    def validated(self, row: Mapping[str, Any]) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.validated(row)

    def finished(self, losses: Mapping[str, Mapping[str, float]]) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.finished(losses)

    def close(self) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.close()
