"""Progress of a run: silent by default, a display or plain lines on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from evop_deap.base.formatting import counted, duration
from evop_deap.base.numbers import exponential

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evop_deap.evolution.state import EvolutionState
    from evop_deap.runs.listeners.display import Display
    from evop_deap.runs.storage.heuristic_state import HeuristicState
    from evop_deap.runs.storage.result import SearchResult


class Progress:
    """A listener to a run that does nothing. Subclass it to show progress."""

    def stage(self, text: str) -> None:
        """Called when a part of the run begins, such as loading the model."""

    def warn(self, text: str) -> None:
        """Called when a part of the result is missing; told as a stage by default."""
        self.stage(text)

    def budget(self, folder: Path, text: str) -> None:
        """Called when one of several budgets begins, whose run is in `folder`."""

    def embedded(self, count: int) -> None:
        """Called when `count` more texts have been embedded."""

    def searching(self, done: int, expected: int | None) -> None:
        """Called when the search begins, at `done` of about `expected` evaluations."""

    def evaluated(self) -> None:
        """Called when one more pattern has been evaluated."""

    def time_left(self, seconds: float | None) -> None:
        """Called before `generation`, with the seconds that the run will probably still take."""

    def generation(self, state: EvolutionState | HeuristicState) -> None:
        """Called when a generation is over and stored."""

    def close(self) -> None:
        """Called when the search is over or has failed."""

    def finished(self, result: SearchResult) -> None:
        """Called when the run is over and everything is written."""

    def spent(self, seconds: Mapping[str, float]) -> None:
        """Called with the seconds that each stage of the run took, in their order."""


class Together(Progress):
    """Forwards each call to several listeners, in their order.

    Args:
        listeners: the listeners.

    Example:
        >>> Together(Progress(), Progress()).stage("loading the model")
    """

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def stage(self, text: str) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.stage(text)

    def warn(self, text: str) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.warn(text)

    def budget(self, folder: Path, text: str) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.budget(folder, text)

    def embedded(self, count: int) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.embedded(count)

    def searching(self, done: int, expected: int | None) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.searching(done, expected)

    def evaluated(self) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.evaluated()

    def time_left(self, seconds: float | None) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.time_left(seconds)

    def generation(self, state: EvolutionState | HeuristicState) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.generation(state)

    def close(self) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.close()

    def finished(self, result: SearchResult) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.finished(result)

    def spent(self, seconds: Mapping[str, float]) -> None:
        """Forward the call."""
        for listener in self._listeners:
            listener.spent(seconds)


class QuietProgress(Progress):
    """Warnings on stderr and nothing else."""

    def warn(self, text: str) -> None:
        """Print the warning."""
        print(f"warning: {text}", file=sys.stderr, flush=True)  # noqa: T201


class TerminalProgress(Progress):
    """Progress on stderr: a display on a terminal, plain lines elsewhere.

    Args:
        fitness: fitness of the search: "ce" is shown as perplexity, "kl" as divergence, others as
            a loss.
    """

    def __init__(self, fitness: str = "ce") -> None:
        self._fitness = fitness
        self._said: set[str] = set()
        self._left = ""
        self._display: Display | None = None
        if sys.stderr.isatty():
            from evop_deap.runs.listeners.display import Display

            self._display = Display()

    def stage(self, text: str) -> None:
        """Print the message."""
        if self._display is not None:
            self._display.say(text)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def budget(self, folder: Path, text: str) -> None:
        """Print the message."""
        self.stage(text)

    def embedded(self, count: int) -> None:
        """Show the count of embedded texts until the next stage."""
        if self._display is not None:
            self._display.count_texts(count)

    def searching(self, done: int, expected: int | None) -> None:
        """Show the progress bar."""
        if self._display is not None:
            self._display.begin(done, expected)

    def evaluated(self) -> None:
        """Advance the progress bar."""
        if self._display is not None:
            self._display.advance()

    def time_left(self, seconds: float | None) -> None:
        """Keep it for the next line."""
        self._left = "" if seconds is None else f"about {duration(seconds)} left"

    def generation(self, state: EvolutionState | HeuristicState) -> None:
        """Show the best perplexity or divergence so far."""
        if state.records[-1].get("trusted") is False:
            self._say_once("the surrogate predicts no better than chance yet: plain evolution")
        what = "divergence" if self._fitness == "kl" else "loss"
        best = f"{what} {state.best.loss:.4f}"
        if self._fitness == "ce":
            best = f"perplexity {exponential(state.best.loss):.2f}"
        if self._display is not None:
            self._display.show(
                state.generation, state.evaluations, best, state.best.pattern, self._left
            )
        else:
            self.stage(
                f"generation {state.generation}: {counted(state.evaluations, 'evaluation')}, "
                f"best {best}, {', '.join(filter(None, [duration(state.seconds), self._left]))}"
            )

    def spent(self, seconds: Mapping[str, float]) -> None:
        """Print the time of each stage that took one per cent or more, and its share."""
        whole = sum(seconds.values()) or 1.0
        shares = (
            f"{name} {took:.0f} s ({took / whole:.0%})"
            for name, took in seconds.items()
            if took >= 0.01 * whole
        )
        self.stage(f"time spent: {', '.join(shares)}")

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.stage(text)

    def close(self) -> None:
        """Stop the progress bar."""
        if self._display is not None:
            self._display.end()
