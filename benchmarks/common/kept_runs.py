"""Runs kept in a folder, so that a benchmark repeats only missing ones."""

from __future__ import annotations

from evop_deap.base.errors import InputError
from evop_deap.runs.listeners.progress import TerminalProgress
from evop_deap.runs.run_search import run_search
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.search_config import SearchConfig


def searched(config: SearchConfig, folder: RunFolder) -> SearchResult:
    """Return the run in `folder`; start it if missing, resume it if interrupted.

    Raises:
        InputError: the run in the folder has other settings.
    """
    if not folder.result.exists():
        progress = TerminalProgress(config.fitness)
        resume = folder.config.exists()
        found = run_search(config, folder.path, resume=resume, progress=progress)
        assert isinstance(found, SearchResult)
        return found
    run = load_run(folder.path)
    asked = config.as_dict()
    if asked["dtype"] == "auto":  # a run keeps the dtype that this became
        del asked["dtype"]
    other = [name for name, value in asked.items() if run.settings.get(name) != value]
    if other or run.result is None:
        raise InputError(f"`output` {folder.path} holds a run of other settings: {other}")
    return run.result
