"""The evaluator of a run: checked, cached, and sharing its losses with other searches."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evop_deap.settings.search_config import SearchConfig
from evop_deap.base.errors import InputError
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.protocol import Evaluator
from evop_deap.fitness.weighted import WeightedEvaluator
from evop_deap.evolution.racing import Racing, windows_together
from evop_deap.runs.storage.checkpoint import Checkpoint
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.stages.prepare import Subject
from evop_deap.base.user_folders import LOSSES_FILE, cache_folder

if TYPE_CHECKING:
    from evop_deap.fitness.model.kept_states import KeptStates


@dataclass(frozen=True, eq=False)
class Judge:
    """The evaluator of a run, and what it says of the dense model.

    Attributes:
        name: class of the evaluator that does the work.
        evaluator: remembers every loss of this run.
        kept: hidden states that wait for the next generation.
        release: gives what is new to other searches.
        racing: how children race; None where each is judged in full.
        dense_fitness: of the dense model on the calibration windows.
        dense_cost: what finding that out cost, and getting ready to.
    """

    name: str
    evaluator: CachedEvaluator
    kept: KeptStates
    release: Callable[[], object]
    racing: Racing | None
    dense_fitness: float
    dense_cost: float


@contextmanager
def open_judge(
    config: SearchConfig, subject: Subject, stored: Checkpoint | None, progress: Progress
) -> Iterator[Judge]:
    """The fastest evaluator that is right for this model, knowing what was paid for before.

    Raises:
        InputError: the dense model's loss is not finite, so that no pattern could be told
            from another.
    """
    from evop_deap.fitness.model.kept_states import KeptStates
    from evop_deap.fitness.model.population import PopulationEvaluator
    from evop_deap.fitness.model.self_check import checked_evaluator
    from evop_deap.fitness.model.shared_losses import HeldBackStore, sharing_evaluator
    from evop_deap.fitness.store import LossStore

    tokens = subject.text.calibration.tokens
    racing = None
    if config.racing == "on":
        racing = Racing.over(
            len(tokens),
            together=windows_together(config.window),
            rungs=config.racing_rungs,
            confidence=config.racing_confidence,
        )
    working: Evaluator
    working = plain = checked_evaluator(
        subject.loaded.model,
        subject.anatomy,
        tokens,
        subject.space,
        rng=random.Random(config.seed),
        fitness=config.fitness,
        # A rung that ends within a group of windows would have to compute all of the group.
        windows_at_once=windows_together(config.window) if racing else None,
        memory_budget=config.memory_budget * 2**20,
        # In a race a pattern is judged several times: the generation tells how many there were.
        on_evaluated=None if racing else progress.evaluated,
        on_fallback=progress.stage,
    )
    kept = plain.kept if isinstance(plain, PopulationEvaluator) else KeptStates(capacity=0)
    with ExitStack() as stack:
        release: Callable[[], object] = _nothing
        if config.cache:
            path = cache_folder() / LOSSES_FILE
            held_back = HeldBackStore(
                stack.enter_context(LossStore(path, on_damage=progress.stage))
            )
            release = held_back.release
            working = sharing_evaluator(
                plain,
                held_back,
                model=subject.loaded.model,
                name=config.model,
                fingerprint=subject.fingerprint,
                tokens=tokens,
                fitness=config.fitness,
            )
        if subject.text.weights is not None:
            # Others may weigh the same windows otherwise: what is shared are plain sums.
            working = WeightedEvaluator(working, subject.text.weights)
        evaluator = CachedEvaluator(working)
        if stored is not None:
            evaluator.restore(stored.rows)
            kept.restore(stored.kept)
        dense = evaluator.evaluate([subject.space.dense])
        loss = float(dense.losses[0])
        if not math.isfinite(loss):
            raise InputError(
                f"`model` {config.model} has no finite loss in `dtype` {config.dtype} on "
                f"`corpus` {config.corpus}: try float32, or another text"
            )
        yield Judge(
            name=type(plain).__name__,
            evaluator=evaluator,
            kept=kept,
            release=release,
            racing=racing,
            dense_fitness=loss,
            dense_cost=stored.dense_cost if stored else plain.preparation_cost + dense.cost,
        )


def _nothing() -> None:
    """What there is to release where nothing is shared."""
