"""Who hears of a run while it goes on: the terminal, a live page, a tracker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from evop_deap.runs.listeners.progress import Progress, TerminalProgress, Together
from evop_deap.runs.listeners.tracking import Tracker
from evop_deap.settings.search_config import SearchConfig


@contextmanager
def listening(
    folder: Path, config: SearchConfig, *, tracker: str, live: bool, quiet: bool
) -> Iterator[Progress]:
    """All listeners as one, until the body ends.

    Args:
        folder: of the run.
        config: its settings.
        tracker: by its name; "none" is none.
        live: whether the report is served meanwhile.
        quiet: whether the terminal is left alone.

    Raises:
        InputError: the tracker is not installed.
    """
    with ExitStack() as stack:
        listeners: list[Progress] = [
            stack.enter_context(Tracker(tracker, folder, config.as_dict()))
        ]
        if live:
            from evop_deap.reporting.live import LiveReport

            listeners.append(stack.enter_context(LiveReport(folder)))
        if not quiet:
            listeners.append(TerminalProgress(config.fitness))
        yield Together(*listeners)
