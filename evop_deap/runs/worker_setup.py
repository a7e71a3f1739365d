"""What a worker of a search is made from, and the evaluator that is spread over workers."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.formatting import counted
from evop_deap.distributed.workers_option import most_workers
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import load_named, parts_of
from evop_deap.runs.prepared import Prepared
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import SearchSpace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evop_deap.distributed.share import Share
    from evop_deap.distributed.spread_evaluator import SpreadEvaluator
    from evop_deap.distributed.worker import Made
    from evop_deap.fitness.model.window_kinds import Windows
    from evop_deap.fitness.protocol import ModelEvaluator
    from evop_deap.recovery.compensation.search_compensator import SearchCompensator

_PACKAGES = ("evop_deap", "torch", "transformers")


@dataclass(frozen=True, eq=False)
class SearchSetup:
    """Makes an evaluator like that of the search, in the process of a worker.

    Attributes:
        config: the settings of the search, with the dtype and the place of its weights.
        space: the patterns to search.
        windows: what patterns are evaluated on.
        options: of `Evaluators.fast`.
        fitted_on: (windows, length) token ids to fit a compensation on; None without one.
        most: number of units that a compensated pattern drops at the most.
        threads: threads of PyTorch, which affect the last bits of a sum.
    """

    config: SearchConfig
    space: SearchSpace
    windows: Windows
    options: dict[str, Any]
    fitted_on: NDArray[np.int64] | None
    most: int
    threads: int

    def __call__(self) -> Made:
        """Load the model and make the evaluator."""
        import torch

        from evop_deap.distributed.worker import Made
        from evop_deap.fitness.model.evaluators import Evaluators
        from evop_deap.fitness.model.window_kinds import dense_work
        from evop_deap.models.loading.fingerprint import fingerprint_model
        from evop_deap.recovery.compensation.charged_cuts import ChargedCuts

        torch.set_num_threads(self.threads)
        config = self.config
        loaded = load_named(config, Progress(), weights=config.weights)
        anatomy = parts_of(loaded, config.granularity)
        compensator = self._compensator(loaded.model, anatomy)
        factory = Evaluators(loaded.model, anatomy, config.fitness, compensator)
        evaluator = factory.fast(self.windows, self.space, **self.options)
        facts = facts_of(loaded.model, fingerprint_model(loaded.model), evaluator)
        if compensator is None:
            return Made(evaluator, facts, evaluator.preparation_cost)
        # The work of its own fits is counted where they are made.
        counted = ChargedCuts(evaluator, compensator, dense_work(self.windows, anatomy))
        return Made(counted, facts, evaluator.preparation_cost)

    def _compensator(self, model: Any, anatomy: Any) -> SearchCompensator | None:
        from evop_deap.recovery.compensation.search_compensator import SearchCompensator

        if self.fitted_on is None:
            return None
        form = self.config.compensate
        return SearchCompensator(model, anatomy, self.fitted_on, most=self.most, form=form)


def facts_of(model: Any, fingerprint: str, evaluator: ModelEvaluator) -> dict[str, str]:
    """Return what must be equal in all processes for losses of the same bits, by name."""
    from importlib.metadata import version

    from evop_deap.models.loading.precision import dtype_of
    from evop_deap.models.streaming.computation import computed_on

    return {
        "the fingerprint of `model`": fingerprint[:12],
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: version(name) for name in _PACKAGES},
        "`dtype`": str(dtype_of(model)).removeprefix("torch."),
        "the processor": computed_on(model),
        "the attention kernel": str(model.config._attn_implementation),
        "the evaluator": f"{evaluator.name}, {evaluator.arithmetic}",
        "the batch of the first window": str((evaluator.batches or (None,))[0]),
    }


@contextmanager
def spread_evaluator(
    local: ModelEvaluator,
    prepared: Prepared,
    options: dict[str, Any],
    *,
    progress: Progress,
    on_evaluated: Callable[[], object] | None,
) -> Iterator[SpreadEvaluator]:
    """Spread an evaluator over workers for as long as the context lasts.

    Args:
        local: the evaluator of this process.
        prepared: the search.
        options: those that `local` was made with, but for callbacks.
        progress: receives progress messages.
        on_evaluated: called after each pattern.

    Raises:
        EvopError: there is no cluster, no room for a worker, or a worker that differs.
    """
    from evop_deap.distributed.cluster import open_cluster
    from evop_deap.distributed.pool import WorkerPool
    from evop_deap.distributed.spread_evaluator import SpreadEvaluator
    from evop_deap.models.anatomy.model_units import model_units

    config, share = prepared.config, _share(prepared)
    model, anatomy = prepared.loaded.model, prepared.anatomy
    setup = _setup(prepared, options, share.cpus)
    progress.stage(f"starting workers ({config.workers}), each with {share} and the model")
    with (
        open_cluster(config.workers, share),
        WorkerPool(
            setup,
            facts_of(model, prepared.fingerprint, local),
            share,
            most=most_workers(config.workers),
            tell=progress.warn,
        ) as pool,
    ):
        progress.stage(_told(pool.ready, pool.ready if config.asynchronous else config.offspring))
        yield SpreadEvaluator(
            local,
            pool,
            work=[unit.work for unit in model_units(anatomy)],
            head_work=anatomy.head_work,
            whole=setup.config.weights == "streamed",
            on_evaluated=on_evaluated,
        )


def _setup(prepared: Prepared, options: dict[str, Any], threads: int) -> SearchSetup:
    from evop_deap.models.anatomy.devices import device_of
    from evop_deap.models.streaming.streamed_weights import weights_of

    model, compensator = prepared.loaded.model, prepared.compensator
    streams = weights_of(model) is not None
    return SearchSetup(
        config=prepared.config.replace(
            device=device_of(model).type, weights="streamed" if streams else "resident"
        ),
        space=prepared.space,
        windows=prepared.searched.calibration.tokens,
        options=options,
        fitted_on=None if compensator is None else compensator.windows,
        most=0 if compensator is None else compensator.most,
        threads=threads,
    )


def _share(prepared: Prepared) -> Share:
    """Return what a worker takes: as many cores as this process has threads, and a GPU."""
    import torch

    from evop_deap.distributed.share import Share
    from evop_deap.models.anatomy.devices import device_of

    gpus, device = prepared.config.worker_gpus, device_of(prepared.loaded.model).type
    if gpus is not None and device != "cuda":
        raise InputError(
            f"`worker_gpus` {gpus:g} needs `device` cuda in this process, too, but it is {device}"
        )
    share = gpus or (1.0 if device == "cuda" else 0.0)
    return Share(torch.get_num_threads(), share)


def _told(workers: int, offspring: int) -> str:
    few = ""
    if offspring < workers:
        few = (
            f"; a generation of {counted(offspring, 'pattern')} is small for them: see --offspring"
        )
    return f"{counted(workers, 'worker')} ready{few}"
