"""One of Optuna's samplers driving the bits of a pattern: what TPE, NSGA-II and CMA-ES share.

A trial has a whole number 0 or 1 for each unit that may go, 1 = keep. Samplers know nothing of
the budget, so what they propose is repaired: units with a 0 go first, in random order, as far as
the budget allows, and if it is not used up then, others follow at random. The trial keeps the
bits that it proposed and is told the loss of the pattern that they were repaired to.
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

_REPEATS = 200  # trials in a row that bring no new pattern end it


def drive_bits(task: Task, sampler: Callable[[], BaseSampler], *, at_once: int) -> Pick:
    """Ask, repair, judge and tell until a limit is reached or nothing new is proposed.

    Args:
        task: its limits count different patterns.
        sampler: makes the sampler, quietly.
        at_once: trials asked for before any is told, and judged together.
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
    """The pattern that the trial's bits come to within the budget."""
    space = task.space
    shuffled = task.rng.sample(space.droppable, len(space.droppable))
    bits = {u: trial.suggest_int(f"keep {space.units[u].name}", 0, 1) for u in space.droppable}
    return space.greedy(sorted(shuffled, key=bits.__getitem__))


@contextmanager
def _quiet() -> Iterator[None]:
    """No line a trial, and no word about what is experimental."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
