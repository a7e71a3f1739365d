"""Log a training after pruning to a tracker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evop_deap.base.numbers import exponential
from evop_deap.recovery.healing.healing_listener import HealingListener
from evop_deap.runs.listeners.tracking import TrackerLog


class HealingTracker(TrackerLog, HealingListener):
    """Logs the losses of a training, and the perplexity of every model at the end.

    Example:
        >>> from pathlib import Path
        >>> with HealingTracker("none", Path("healed/demo"), {}) as tracker:
        ...     tracker.stage("loading the model")
    """

    group = "healing"
    _last = 0

    def step(self, step: int, loss: float) -> None:
        """Log the training loss."""
        self._last = step
        self._log({"loss": loss}, step)

    def validated(self, row: Mapping[str, Any]) -> None:
        """Log the losses on validation text."""
        figures = {name: row[name] for name in ("loss", "divergence")}
        self._log({f"validation/{name}": value for name, value in figures.items()}, row["step"])

    def finished(self, losses: Mapping[str, Mapping[str, float]]) -> None:
        """Log the perplexities."""
        figures = {
            f"{text}/{model}_perplexity": exponential(loss)
            for text, models in losses.items()
            for model, loss in models.items()
        }
        self._log(figures, self._last)

    def close(self) -> None:
        """Close the log."""
        self._close()
