"""The Ray cluster of a run: started on this machine, or joined."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evop_deap.base.errors import InputError, one_line
from evop_deap.base.numbers import whole_number
from evop_deap.distributed.share import Share
from evop_deap.distributed.workers_option import AUTO, is_address

_CLIENT = "ray://"
_SECONDS = 10.0  # for a cluster to answer
_STORE_BYTES = 128 * 2**20  # of Ray's object store: windows and losses are small


@contextmanager
def open_cluster(workers: str, share: Share) -> Iterator[None]:
    """Connect this process to a cluster for as long as the context lasts.

    Args:
        workers: how many to start on this machine, "auto" for as many as it has room for, or the
            address of a cluster. If this process is connected already, that cluster is used.
        share: what a worker takes of a node.

    Raises:
        InputError: Ray is not installed, or nothing answers at this address.
    """
    # Ray reads these when it is imported. It would count its use on a server, and print its own
    # lines on lost workers to stdout.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError as error:
        raise InputError("`workers` needs Ray: pip install 'evop_deap[ray]'") from error
    if ray.is_initialized():
        yield
        return
    if is_address(workers):
        _check_answers(workers)
    with _same_sigterm():
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **_options(workers, share))
        except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
            what = f"no cluster at {workers}" if is_address(workers) else "Ray cannot start"
            raise InputError(f"`workers`: {what}: {one_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Refuse an address at which nothing answers: Ray would try for minutes."""
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    try:
        socket.create_connection((host, whole_number(port)), _SECONDS).close()
    except (OSError, OverflowError, ValueError) as error:
        raise InputError(
            f"`workers` must be the address of a Ray cluster, but nothing answers at {address} "
            f"({one_line(error)})"
        ) from error


def _options(workers: str, share: Share) -> dict[str, Any]:
    """Return what Ray is told of the cluster: its address, or the room of a new one."""
    if is_address(workers):
        return {"address": workers}
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    own["address"] = "local"  # else Ray joins a cluster that runs, or ran, on this machine
    if workers == AUTO:
        return own
    count = whole_number(workers)
    gpus = {"num_gpus": math.ceil(count * share.gpus)} if share.gpus else {}
    return {**own, "num_cpus": count * share.cpus, **gpus}


@contextmanager
def _same_sigterm() -> Iterator[None]:
    """Leave the handling of SIGTERM as it was: Ray replaces it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
