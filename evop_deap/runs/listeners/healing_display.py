"""The terminal display of a training after pruning: a progress bar with losses and time left."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evop_deap.base.formatting import counted, number
from evop_deap.base.numbers import exponential
from evop_deap.recovery.healing.healing_listener import HealingListener


class QuietHealing(HealingListener):
    """Warnings on stderr and nothing else."""

    def warn(self, text: str) -> None:
        """Print the warning."""
        print(f"warning: {text}", file=sys.stderr, flush=True)  # noqa: T201


class HealingDisplay(HealingListener):
    """Shows the stages as lines, and the training as a bar.

    Args:
        console: output; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._best: float | None = None

    def stage(self, text: str) -> None:
        """Print what begins."""
        self.close()
        self._console.print(text)

    def prepared(self, done: int, windows: int) -> None:
        """Show how many windows the dense model has predicted."""
        self._show("windows predicted", done, windows)
        if done >= windows:
            self.close()

    def training(self, steps: int, given: float, dense: float) -> None:
        """Say what there is to win, and begin the bar."""
        self.close()
        self._best = given
        self._console.print(
            f"validation perplexity: {number(exponential(given))} given, "
            f"{number(exponential(dense))} dense; {counted(steps, 'step')}"
        )
        self._show(self._said(), 0, steps)

    def step(self, step: int, loss: float) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step)

    def validated(self, row: Mapping[str, Any]) -> None:
        """Show the validation loss."""
        self._best = min(row["loss"], row["loss"] if self._best is None else self._best)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=self._said())
        if not self._console.is_terminal:
            self._console.print(f"step {row['step']}: {self._said()}")

    def close(self) -> None:
        """Stop redrawing, and leave the last state on screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _said(self) -> str:
        return "" if self._best is None else f"best perplexity {number(exponential(self._best))}"

    def _show(self, text: str, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True),
                console=self._console,
                disable=not self._console.is_terminal,
            )
            self._bar.add_task(text, total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], description=text, completed=done)
