"""Searches that are killed: each a process of its own, sent SIGKILL at a chosen moment."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable

from evop_deap.search import main

# A server that has imported everything forks each run, so that a run to be killed costs no
# start-up; it has started no threads that a fork would lose.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["evop_deap.runs.run_search", "transformers", "datasets", "torch"])


def run_with_cache(cache: str, arguments: list[str]) -> None:
    os.environ["EVOP_CACHE"] = cache
    main(arguments)


def run_and_kill(arguments: list[str], when: Callable[[], bool]) -> int | None:
    """The exit code of a process that is killed as soon as `when` holds, or ends before."""
    cache = os.environ["EVOP_CACHE"]
    process = FORKS.Process(target=run_with_cache, args=(cache, [*arguments, "--quiet"]))
    process.start()
    while not when() and process.is_alive():
        time.sleep(0.0005)
    process.kill()
    process.join()
    return process.exitcode
