"""The settings for evaluating on several processes or machines."""

from __future__ import annotations

from dataclasses import dataclass

from evop_deap.base.errors import InputError
from evop_deap.distributed.workers_option import needs_cluster
from evop_deap.settings.heuristic_names import SEARCH
from evop_deap.settings.options import Settings, option

WORKERS = "several processes or machines (pip install 'evop_deap[ray]')"


@dataclass(frozen=True, kw_only=True)
class WorkersConfig(Settings):
    """How many processes evaluate patterns, and what each takes.

    Raises:
        InputError: `workers` is no number, "auto" or address; or a setting of workers without any.
    """

    workers: str = option(
        "1",
        WORKERS,
        "processes that each hold the model and share the work of a generation: a number on this "
        "machine, auto for as many as it has room for, or the address of a Ray cluster, such as "
        "ray://host:10001; the result is that of one process with the same number of threads "
        "(OMP_NUM_THREADS)",
        metavar="N|auto|ADDRESS",
    )
    worker_gpus: float | None = option(
        None,
        WORKERS,
        "GPUs of a worker, such as 0.5 for two on each GPU (default: 1 with --device cuda, else "
        "none)",
        metavar="SHARE",
        above=0,
    )
    asynchronous: bool = option(
        False,
        WORKERS,
        "give a worker another pattern as soon as it has finished one; there are no races, so each "
        "child is evaluated on all windows; the result then depends on timing",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "workers", _as_text(self.workers))
        super().__post_init__()
        if needs_cluster(self.workers):
            return
        if self.worker_gpus is not None:
            raise InputError(
                f"`worker_gpus` {self.worker_gpus:g} needs `workers`: a number above 1, auto or "
                "an address"
            )
        if self.asynchronous:
            raise InputError(
                "`asynchronous` needs `workers`: a number above 1, auto or an address; "
                "--no-asynchronous searches by generations"
            )


def check_asynchronous(asynchronous: bool, pareto: str, method: str) -> None:
    """Refuse an asynchronous search by a method that goes by generations or requests.

    Raises:
        InputError: it is one.
    """
    if asynchronous and (pareto != "none" or method != SEARCH):
        other = f"`pareto` {pareto}" if pareto != "none" else f"`method` {method}"
        raise InputError(
            f"`asynchronous` cannot be combined with {other}: only the evolution at given budgets "
            "can be asynchronous"
        )


def _as_text(value: object) -> object:
    """Return a number of a YAML file as the text that a flag has, and other values as they are."""
    return str(value) if type(value) is int else value
