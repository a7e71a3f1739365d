"""What a run tells while it works: nothing by default, a display or plain lines on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from evop_deap.base.numbers import exponential

if TYPE_CHECKING:
    from pathlib import Path

    from evop_deap.evolution.state import EvolutionState
    from evop_deap.runs.listeners.display import Display
    from evop_deap.runs.storage.heuristic_state import HeuristicState
    from evop_deap.runs.storage.result import SearchResult


class Progress:
    """Listens to a run; this one keeps quiet. Subclass it to show a run elsewhere."""

    def stage(self, text: str) -> None:
        """A new part of the run begins, such as loading the model."""

    def budget(self, folder: Path, text: str) -> None:
        """Of several budgets, the one whose run is in `folder` begins."""

    def embedded(self, count: int) -> None:
        """So many more texts have been embedded."""

    def searching(self, done: int, expected: int | None) -> None:
        """The search begins with `done` of about `expected` evaluations behind it."""

    def evaluated(self) -> None:
        """One more pattern has been evaluated."""

    def generation(self, state: EvolutionState | HeuristicState) -> None:
        """A generation is over, and written down."""

    def close(self) -> None:
        """The search is over, or has failed."""

    def finished(self, result: SearchResult) -> None:
        """The run is over, and everything is written."""


class Together(Progress):
    """Lets several listen, in this order.

    Args:
        listeners: who.

    Example:
        >>> Together(Progress(), Progress()).stage("loading the model")
    """

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def stage(self, text: str) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.stage(text)

    def budget(self, folder: Path, text: str) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.budget(folder, text)

    def embedded(self, count: int) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.embedded(count)

    def searching(self, done: int, expected: int | None) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.searching(done, expected)

    def evaluated(self) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.evaluated()

    def generation(self, state: EvolutionState | HeuristicState) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.generation(state)

    def close(self) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.close()

    def finished(self, result: SearchResult) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.finished(result)


class TerminalProgress(Progress):
    """A bar, the best so far and its pattern on stderr; plain lines where that is no terminal.

    Args:
        fitness: what is minimised; other than cross-entropy, it has no perplexity to show.
    """

    def __init__(self, fitness: str = "ce") -> None:
        self._fitness = fitness
        self._said: set[str] = set()
        self._display: Display | None = None
        if sys.stderr.isatty():
            from evop_deap.runs.listeners.display import Display

            self._display = Display()

    def stage(self, text: str) -> None:
        """Write what is being done."""
        if self._display is not None:
            self._display.say(text)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def budget(self, folder: Path, text: str) -> None:
        """Write which it is."""
        self.stage(text)

    def embedded(self, count: int) -> None:
        """Count texts, until the next stage."""
        if self._display is not None:
            self._display.count_texts(count)

    def searching(self, done: int, expected: int | None) -> None:
        """Show the bar."""
        if self._display is not None:
            self._display.begin(done, expected)

    def evaluated(self) -> None:
        """Move the bar on."""
        if self._display is not None:
            self._display.advance()

    def generation(self, state: EvolutionState | HeuristicState) -> None:
        """Show the best perplexity or divergence so far."""
        if state.records[-1].get("trusted") is False:
            self._say_once("the surrogate foresees no better than chance yet: plain evolution")
        best = f"divergence {state.best.loss:.4f}"
        if self._fitness == "ce":
            best = f"perplexity {exponential(state.best.loss):.2f}"
        if self._display is not None:
            self._display.show(state.generation, state.evaluations, best, state.best.pattern)
        else:
            self.stage(
                f"generation {state.generation}: {state.evaluations} evaluations, "
                f"best {best}, {state.seconds:.0f} s"
            )

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.stage(text)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._display is not None:
            self._display.end()
