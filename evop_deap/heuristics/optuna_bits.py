"""Search over the bits of a pattern with an Optuna sampler, shared by TPE, NSGA-II and CMA-ES.

A trial has an integer parameter 0 or 1 for each droppable unit, 1 = keep. Samplers ignore the
budget, so each proposal is repaired: units with a 0 are dropped in random order while the budget
allows it; if budget is left, other units follow at random. The trial keeps the proposed bits and
gets the loss of the repaired pattern.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evop_deap.heuristics.limited_meter import LimitedMeter
from evop_deap.heuristics.task import Pick, Task
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.samplers import BaseSampler

_REPEATS = 200  # trials in a row without a new pattern that end it


def drive_bits(task: Task, sampler: Callable[[], BaseSampler], *, at_once: int) -> Pick:
    """Ask, repair, evaluate and tell until a limit is reached or no new pattern is proposed.

    Args:
        task: its limits count distinct patterns.
        sampler: makes the sampler; its warnings are silenced.
        at_once: number of trials in a batch, which is evaluated together.
    """
    import optuna
    from optuna.trial import TrialState

    meter, repeats = LimitedMeter(task), 0
    with _quiet():
        study = optuna.create_study(sampler=sampler())
        while (left := meter.left) and repeats < _REPEATS:
            known = meter.evaluations
            trials = [study.ask() for _ in range(min(at_once, left))]
            patterns = [_repaired(task, trial) for trial in trials]
            losses = meter.evaluate(patterns).losses.tolist()
            for trial, loss in zip(trials, losses, strict=True):
                if math.isfinite(loss):
                    study.tell(trial, loss)
                else:
                    study.tell(trial, state=TrialState.FAIL)
            repeats = 0 if meter.evaluations > known else repeats + len(trials)
    return meter.pick_best()


def _repaired(task: Task, trial: Trial) -> Pattern:
    """Return the trial's pattern, repaired to fit the budget."""
    space = task.space
    shuffled = task.rng.sample(space.droppable, len(space.droppable))
    bits = {u: trial.suggest_int(f"keep {space.units[u].name}", 0, 1) for u in space.droppable}
    return space.greedy(sorted(shuffled, key=bits.__getitem__))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's log of trials and its warnings about experimental features."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
