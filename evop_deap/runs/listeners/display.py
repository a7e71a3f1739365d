"""The terminal display of a search: a progress bar, the best loss so far, and its pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.status import Status

_REFRESHED = 4  # times a second
_KEPT, _DROPPED = ("■", "cyan"), ("·", "bright_red")


class Display:
    """A log of messages above a progress bar that is redrawn.

    Args:
        console: output; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._live: Live | None = None
        self._status: Status | None = None
        self._texts = 0

    def say(self, text: str) -> None:
        """Print a message above the progress bar."""
        self._end_status()
        self._console.print(Text(text))

    def count_texts(self, count: int) -> None:
        """Add `count` to the number of embedded texts."""
        self._texts += count
        said = f"{self._texts:,} texts embedded"
        if self._status is None:
            self._status = self._console.status(said)
            self._status.start()
        self._status.update(said)

    def begin(self, done: int, expected: int | None) -> None:
        """Show the progress bar at `done` of `expected` patterns."""
        self._end_status()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None, complete_style="cyan", finished_style="cyan"),
            MofNCompleteColumn(),
            TextColumn("patterns  [bold]{task.fields[best]}"),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            expand=True,
        )
        self._bar.add_task("generation 0", total=expected, completed=done, best="", left="")
        self._live = Live(self._bar, console=self._console, refresh_per_second=_REFRESHED)
        self._live.start()

    def advance(self) -> None:
        """Advance the progress bar by one pattern."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])

    def show(
        self,
        generation: int,
        evaluations: int,
        best: str,
        pattern: Sequence[int],
        left: str = "",
    ) -> None:
        """Show the best pattern of a generation, and how much time is left."""
        if self._bar is None or self._live is None:
            return
        self._bar.update(
            self._bar.task_ids[0],
            description=f"generation {generation}",
            completed=evaluations,
            best=best,
            left=left,
        )
        self._live.update(Group(self._bar, strip(pattern)))

    def end(self) -> None:
        """Stop redrawing, and leave the last state on screen."""
        self._end_status()
        if self._live is not None:
            self._live.stop()
            self._live = self._bar = None

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def strip(pattern: Sequence[int]) -> Text:
    """Return one mark for each unit: a square if kept, a dot if dropped.

    Example:
        >>> str(strip([1, 0, 1]))
        '■·■'
    """
    return Text.assemble(*(_KEPT if kept else _DROPPED for kept in pattern))
