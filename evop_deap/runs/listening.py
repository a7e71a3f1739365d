"""The listeners of a run: the terminal, the live page and a tracker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from evop_deap.runs.listeners.progress import Progress, QuietProgress, TerminalProgress, Together
from evop_deap.runs.listeners.tracking import Tracker
from evop_deap.settings.search_config import SearchConfig


@contextmanager
def listening(
    folder: Path, config: SearchConfig, *, tracker: str, live: bool, quiet: bool
) -> Iterator[Progress]:
    """Open all listeners as one, and close them when the body ends.

    Args:
        folder: folder of the run.
        config: settings of the run.
        tracker: name of the tracker, or "none".
        live: serve the report during the run.
        quiet: print no progress, only warnings.

    Yields:
        One object that forwards to all listeners.

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
        listeners.append(QuietProgress() if quiet else TerminalProgress(config.fitness))
        yield Together(*listeners)
