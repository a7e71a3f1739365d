"""Runs that stay where they were made, so that a benchmark makes only those that are missing."""

from __future__ import annotations

from evop_deap.config import SearchConfig
from evop_deap.errors import InputError
from evop_deap.run.folder import RunFolder
from evop_deap.run.pipeline import run_search
from evop_deap.run.progress import TerminalProgress
from evop_deap.run.reading import load_run
from evop_deap.run.result import SearchResult


def searched(config: SearchConfig, folder: RunFolder) -> SearchResult:
    """The run in `folder`, made where it is missing and finished where it was interrupted.

    Raises:
        InputError: it is of other settings.
    """
    if not folder.result.exists():
        progress = TerminalProgress(config.fitness)
        return run_search(config, folder.path, resume=folder.config.exists(), progress=progress)
    run = load_run(folder.path)
    asked = {name: value for name, value in config.as_dict().items() if name != "dtype"}
    other = [name for name, value in asked.items() if run.settings.get(name) != value]
    if other or run.result is None:
        raise InputError(f"`output` {folder.path} holds a run of other settings: {other}")
    return run.result
