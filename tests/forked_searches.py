"""Commands in processes of their own: killed, interrupted, or shown on a terminal.

A server that has imported everything forks each, so that a search costs no start-up; it has
started no threads that a fork would lose.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import evop_deap

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        *(module.name for module in pkgutil.walk_packages(evop_deap.__path__, "evop_deap.")),
        # What the first search in a process spends seconds on.
        "datasets",
        "scipy.stats",
        "torch._dynamo",
        "transformers.generation.utils",
        "transformers.models.auto.tokenization_auto",
        "transformers.models.llama.modeling_llama",
    ]
)


def start_search(
    arguments: Sequence[str],
    *,
    stdout: Path | str = os.devnull,
    stderr: Path | str = os.devnull,
    environment: Mapping[str, str] | None = None,
    command: str = "search",
) -> ForkServerProcess:
    """A search that goes on by itself, its output in files or on terminals."""
    process = FORKS.Process(
        target=_search,
        args=(
            [*arguments],
            str(stdout),
            str(stderr),
            {"EVOP_CACHE": os.environ["EVOP_CACHE"], **(environment or {})},
            command,
        ),
    )
    process.start()
    return process


def _search(
    arguments: list[str], stdout: str, stderr: str, environment: dict[str, str], command: str
) -> None:
    os.environ.update(environment)
    for path, descriptor in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOCTTY), descriptor)
    # A shell has the jobs in its background ignore SIGINT, and their children with them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(importlib.import_module(f"evop_deap.{command}").main(arguments))


def wait_for(condition: Callable[[], bool], process: ForkServerProcess) -> None:
    """Returns as soon as the condition holds, or the process has ended."""
    while not condition() and process.is_alive():
        time.sleep(0.0005)


def run_and_kill(
    arguments: Sequence[str], when: Callable[[], bool], *, command: str = "search"
) -> int | None:
    """The exit code of a process that is killed as soon as `when` holds, or ends before."""
    process = start_search([*arguments, "--quiet"], command=command)
    wait_for(when, process)
    process.kill()
    process.join()
    return process.exitcode
