"""The evaluator of a search: checked, cached, with losses shared between searches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.user_folders import LOSSES_FILE, cache_folder
from evop_deap.distributed.workers_option import needs_cluster
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.charged import ChargedEvaluator
from evop_deap.fitness.in_flight import Background
from evop_deap.fitness.protocol import CostAlone, Evaluator, KeptNames, ModelEvaluator
from evop_deap.fitness.weighted import weighted
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.storage.checkpoint import Checkpoint
from evop_deap.runs.told_reading import telling_of_reading

if TYPE_CHECKING:
    from evop_deap.fitness.model.self_check import Share
    from evop_deap.fitness.model.window_kinds import Windows


@dataclass(frozen=True, eq=False)
class SearchEvaluator:
    """The evaluator of a search, and the dense model's loss.

    Attributes:
        name: class name of the evaluator behind the cache.
        cached: evaluator with a cache of all losses of this run.
        kept: hidden states kept for the next generation.
        alone: costs of its calls if no loss were shared; None if they cannot be told.
        share: gives an evaluator of the model on any windows the losses that are known.
        release: shares new losses with other searches.
        background: evaluations that an asynchronous search does not wait for; else None.
        dense_loss: fitness of the dense model on the calibration windows.
        dense_cost: cost of that evaluation and of its preparation.
        dense_executed: dense-forward equivalents executed for it.
    """

    name: str
    cached: CachedEvaluator
    kept: KeptNames
    alone: CostAlone | None
    share: Share
    release: Callable[[], object]
    background: Background | None
    dense_loss: float
    dense_cost: float
    dense_executed: float

    @property
    def kept_alone(self) -> KeptNames | None:
        """Hidden states that would be kept if no loss were shared; None if none can be."""
        return None if self.alone is None else self.alone.kept


@contextmanager
def open_evaluator(
    prepared: Prepared, stored: Checkpoint | None, progress: Progress
) -> Iterator[SearchEvaluator]:
    """Open the fastest exact evaluator of this model, with the losses of a checkpoint.

    Raises:
        InputError: the dense model's loss is not finite, so patterns cannot be compared.
    """
    config, racing = prepared.config, prepared.config.racing == "on"
    options: dict[str, Any] = {
        "rng": prepared.rng,
        # A rung that ends inside a group of windows would compute the whole group.
        "windows_at_once": prepared.together if racing else None,
        "memory_budget": config.memory_budget * 2**20,
        # The bits of stacked branches depend on the stack, and so on the number of workers.
        "stacked": False if needs_cluster(config.workers) else None,
    }
    # A race evaluates a pattern several times; the generation reports the count of patterns.
    on_evaluated = None if racing else progress.evaluated
    working = prepared.evaluators.fast(
        prepared.searched.calibration.tokens,
        prepared.space,
        on_evaluated=on_evaluated,
        on_fallback=progress.stage,
        **options,
    )
    background = None
    with ExitStack() as stack:
        if needs_cluster(config.workers):
            from evop_deap.runs.worker_setup import spread_evaluator

            spreading = spread_evaluator(
                working,
                prepared,
                options,
                progress=progress,
                on_evaluated=on_evaluated,
            )
            working = spread = stack.enter_context(spreading)
            background = spread.background if config.asynchronous else None
        share, release = _sharing(prepared, stack, progress)
        # Other searches may weight the windows differently, so unweighted sums are shared.
        shared, alone = share(working, prepared.searched.calibration.tokens), working.alone
        whole, fitting = with_fits(shared, prepared, stored)
        cached = CachedEvaluator(weighted(whole, prepared.searched.weights))
        if stored is not None:
            cached.restore(stored.rows)
            working.kept.restore(stored.kept)
            if alone is not None:
                alone.kept.restore(stored.kept_alone)
        with telling_of_reading(prepared.loaded.model, config.offspring, progress):
            dense = cached.evaluate([prepared.space.dense])
        loss, prepared_at = float(dense.losses[0]), working.preparation_cost
        if not math.isfinite(loss):
            raise InputError(
                f"`model` {config.model} has no finite loss in `dtype` {config.dtype} on "
                f"`corpus` {config.corpus}: try float32, or another text"
            )
        yield SearchEvaluator(
            name=working.name,
            cached=cached,
            kept=working.kept,
            alone=alone,
            share=share,
            release=release,
            background=background,
            dense_loss=loss,
            dense_cost=stored.dense_cost if stored else prepared_at + fitting + dense.cost,
            dense_executed=stored.dense_executed if stored else prepared_at + dense.work.executed,
        )


def with_fits(
    evaluator: Evaluator, prepared: Prepared, stored: Checkpoint | None = None
) -> tuple[Evaluator, float]:
    """Return `evaluator` with fits of the compensator charged, and the cost of its beginning."""
    compensator = prepared.compensator
    if compensator is None:
        return evaluator, 0.0
    from evop_deap.fitness.model.window_kinds import dense_work
    from evop_deap.recovery.compensation.charged_cuts import ChargedCuts

    unit = dense_work(prepared.searched.calibration.tokens, prepared.anatomy)
    charged = ChargedCuts(evaluator, compensator, unit)
    charged.restore(stored.rows if stored else ())
    return charged, compensator.work / unit


def _sharing(
    prepared: Prepared, stack: ExitStack, progress: Progress
) -> tuple[Share, Callable[[], object]]:
    """Return what puts the user's store of losses before an evaluator, and what adds new ones."""
    if not prepared.config.cache:
        return lambda working, tokens: _charged(working, working), lambda: None
    from evop_deap.fitness.model.shared_losses import HeldBackStore, sharing_evaluator
    from evop_deap.fitness.store import LossStore

    path = cache_folder() / LOSSES_FILE
    store = HeldBackStore(stack.enter_context(LossStore(path, on_damage=progress.stage)))

    def share(working: ModelEvaluator, tokens: Windows) -> Evaluator:
        shared = sharing_evaluator(
            working,
            store,
            model=prepared.loaded.model,
            name=prepared.config.model,
            fingerprint=prepared.fingerprint,
            tokens=tokens,
        )
        return _charged(shared, working)

    return share, store.release


def _charged(shared: Evaluator, working: ModelEvaluator) -> Evaluator:
    """Return an evaluator that charges what `working` would have cost alone."""
    return shared if working.alone is None else ChargedEvaluator(shared, working.alone)
