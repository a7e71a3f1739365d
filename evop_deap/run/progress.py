"""What a run tells while it works: nothing by default, a bar or plain lines on a terminal."""

from __future__ import annotations

import math
import shutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evop_deap.evolution_state import EvolutionState


class Progress:
    """Listens to a run; this one keeps quiet. Subclass it to show a run elsewhere."""

    def stage(self, text: str) -> None:
        """A new part of the run begins, such as loading the model."""

    def embedded(self, count: int) -> None:
        """So many more texts have been embedded."""

    def searching(self, done: int, expected: int | None) -> None:
        """The search begins with `done` of about `expected` evaluations behind it."""

    def evaluated(self) -> None:
        """One more pattern has been evaluated."""

    def generation(self, state: EvolutionState) -> None:
        """A generation is over."""

    def close(self) -> None:
        """The search is over, or has failed."""


class TerminalProgress(Progress):
    """A bar on stderr with generation, evaluations, best perplexity and time left.

    Where stderr is no terminal, a line a generation.

    Args:
        fitness: what is minimised; other than cross-entropy, it has no perplexity to show.
    """

    def __init__(self, fitness: str = "ce") -> None:
        self._fitness = fitness
        self._bar: Any = None
        self._texts: Any = None
        self._interactive = sys.stderr.isatty()
        self._said: set[str] = set()

    def stage(self, text: str) -> None:
        """Write what is being done."""
        if self._texts is not None:
            self._texts.close()
            self._texts = None
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def embedded(self, count: int) -> None:
        """Count texts on a line of their own, until the next stage."""
        if self._interactive:
            from tqdm import tqdm

            if self._texts is None:
                self._texts = tqdm(desc="embedding", unit="text", file=sys.stderr, ncols=60)
            self._texts.update(count)

    def searching(self, done: int, expected: int | None) -> None:
        """Open the bar."""
        if self._interactive:
            from tqdm import tqdm

            # Some terminals do not know their size, and say 0: these are taken for 80 by 24.
            size = shutil.get_terminal_size()
            self._bar = tqdm(
                desc="generation 0",
                initial=done,
                total=expected,
                unit="pattern",
                file=sys.stderr,
                ncols=size.columns,
                nrows=size.lines,
            )

    def evaluated(self) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.update()

    def generation(self, state: EvolutionState) -> None:
        """Show the best perplexity or divergence so far."""
        if state.records[-1].get("trusted") is False:
            self._say_once("the surrogate foresees no better than chance yet: plain evolution")
        best = f"best divergence {state.best.loss:.4f}"
        if self._fitness == "ce":
            best = f"best perplexity {math.exp(min(state.best.loss, 700.0)):.2f}"
        if self._bar is not None:
            # Patterns that a cache answered have not been counted one by one.
            self._bar.update(state.evaluations - self._bar.n)
            self._bar.set_description(f"generation {state.generation}", refresh=False)
            self._bar.set_postfix_str(best)
        else:
            self.stage(
                f"generation {state.generation}: {state.evaluations} evaluations, "
                f"{best}, {state.seconds:.0f} s"
            )

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.stage(text)

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
