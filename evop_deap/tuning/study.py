"""Open and run a study of the evolution's settings, in one process or in several."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.tuning.experimental import accepting_experiments
from evop_deap.tuning.tuning_options import MOST_SEEDS
from evop_deap.tuning.workers import RETRY_OF, Workers, queue_again

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from evop_deap.tuning.objective import Objective

DESCRIPTION = "evop_deap"
"""User attribute of a study that describes what its trials measure."""

_MOST_FAILURES = 3  # failures after which a study without any success ends


def make_sampler(name: str, seed: int | None) -> BaseSampler:
    """Return Optuna's sampler of that name, with its defaults."""
    from optuna import samplers

    kinds: dict[str, Callable[..., BaseSampler]] = {
        "tpe": samplers.TPESampler,
        "random": samplers.RandomSampler,
        "gp": samplers.GPSampler,
        "nsgaii": samplers.NSGAIISampler,
        "qmc": samplers.QMCSampler,
    }
    with accepting_experiments():
        return kinds[name](seed=seed)


def make_pruner(name: str, steps: int) -> BasePruner:
    """Return Optuna's pruner of that name, for trials with `steps` reports."""
    from optuna import pruners

    kinds: dict[str, Callable[[], BasePruner]] = {
        "none": pruners.NopPruner,
        "wilcoxon": pruners.WilcoxonPruner,
        "hyperband": lambda: pruners.HyperbandPruner(min_resource=1, max_resource=steps),
        "halving": lambda: pruners.SuccessiveHalvingPruner(min_resource=1),
        "median": lambda: pruners.MedianPruner(n_warmup_steps=steps // 3),
    }
    with accepting_experiments():
        return kinds[name]()


def open_study(
    storage: BaseStorage,
    workers: Workers | None,
    objective: Objective,
    *,
    name: str,
    sampler: str = "tpe",
    pruner: str = "none",
    seed: int | None = None,
) -> Study:
    """Open the study of that name, or create it with the default settings as trial 0.

    Args:
        storage: storage of the study.
        workers: processes that run it; None if the storage detects killed processes.
        objective: objective of its trials.
        name: name of the study.
        sampler: name of a sampler in `evop_deap.tuning.study_kinds`.
        pruner: name of a pruner in the same module.
        seed: seed of the sampler; the number of existing trials is added to it, or a resumed
            study would repeat its draws.

    Raises:
        InputError: the study of that name has another objective.
    """
    import optuna

    with workers.one_at_a_time() if workers else nullcontext():
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            pruner=make_pruner(pruner, objective.steps),
            directions=objective.directions,
            load_if_exists=True,
        )
        trials = len(study.get_trials(deepcopy=False))
        own_seed = None if seed is None else (seed + trials) % MOST_SEEDS
        study.sampler = make_sampler(sampler, own_seed)
        _describe(study, objective)
    return study


def run_study(
    study: Study,
    objective: Objective,
    workers: Workers | None,
    *,
    n_trials: int | None = None,
    timeout: float | None = None,
    on_trial: Callable[[Study, FrozenTrial], None] | None = None,
    check: Callable[[], object] | None = None,
) -> None:
    """Run trials until the study has `n_trials`, over all processes, or the time is up.

    Trials of killed processes are run again. An interrupted trial is run again when the study is
    resumed.

    Args:
        study: study from `open_study`.
        objective: objective of its trials.
        workers: processes that run it; None if the storage detects killed processes.
        n_trials: trials that the study shall have; None for no limit.
        timeout: seconds after which no trial begins.
        on_trial: called after each trial of this process.
        check: called before each trial; may raise `KeyboardInterrupt`.

    Raises:
        InputError: the first trials have all failed.
    """
    began, interrupted = time.monotonic(), -1

    def signed(trial: Trial) -> float | tuple[float, ...]:
        nonlocal interrupted
        try:
            if workers is not None:
                workers.sign(trial)
            return objective(trial)
        except KeyboardInterrupt:
            interrupted = trial.number
            raise

    try:
        while True:
            if check is not None:
                check()
            if workers is not None:
                workers.take_over(study)
            if n_trials is not None and _settled(study) >= n_trials:
                break
            if timeout is not None and time.monotonic() - began >= timeout:
                break
            study.optimize(
                signed, n_trials=1, catch=(Exception,), callbacks=[on_trial] if on_trial else None
            )
            _check_failures(study)
    except KeyboardInterrupt:
        if interrupted >= 0:
            _queue_interrupted(study, interrupted)
        raise


def _describe(study: Study, objective: Objective) -> None:
    """Describe the objective in a new study; check that an existing study has the same one."""
    from optuna.trial import TrialState

    wanted: dict[str, Any] = json.loads(json.dumps(objective.as_dict()))
    known = study.user_attrs.get(DESCRIPTION)
    if known is None:
        finished = (TrialState.COMPLETE, TrialState.PRUNED)
        if study.get_trials(deepcopy=False, states=finished):
            raise InputError(
                f"`study_name` {study.study_name} has trials of another kind in this storage: "
                "choose another name"
            )
        with accepting_experiments():
            study.set_metric_names(objective.names)
        study.enqueue_trial(objective.space.defaults, skip_if_exists=True)
        study.set_user_attr(DESCRIPTION, wanted)
        return
    foreign = InputError(
        f"`study_name` {study.study_name} is not one of evop_deap in this storage: choose another "
        "name"
    )
    if not isinstance(known, dict):
        raise foreign
    other = sorted(name for name in wanted if known.get(name) != wanted[name])
    if other:
        raise InputError(
            f"`study_name` {study.study_name} has {_others(other)} in this storage: "
            f"{known.get(other[0])}, not {wanted[other[0]]}; use the same, or another name"
        )
    if study.metric_names not in (None, [*objective.names]):
        raise foreign


def _others(names: Sequence[str]) -> str:
    """Return names of what a study has, each with "another" or "other" before it."""
    plural = ("problems", "seeds")
    return " and ".join(f"{'other' if name in plural else 'another'} {name}" for name in names)


def _settled(study: Study) -> int:
    """Return the number of finished and running trials, without those that are run again."""
    from optuna.trial import TrialState

    return sum(trial.state != TrialState.WAITING for trial in _not_run_again(study))


def _not_run_again(study: Study) -> list[FrozenTrial]:
    """Return the trials without those whose settings are run again, as after an interruption."""
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    for trial in trials:
        again.update(trial.system_attrs.get("retry_history", ()))
    return [trial for trial in trials if trial.number not in again]


def _check_failures(study: Study) -> None:
    """Refuse to continue a study whose first trials have all failed."""
    from optuna.trial import TrialState

    good = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    told = [trial.user_attrs for trial in _not_run_again(study) if "failure" in trial.user_attrs]
    reasons = [attributes["failure"] for attributes in told]
    if not good and len(reasons) >= _MOST_FAILURES:
        raise InputError(f"the first {len(reasons)} trials failed, the last with: {reasons[-1]}")


def _queue_interrupted(study: Study, number: int) -> None:
    """Queue an interrupted trial again; `take_over` finds one that is still marked as running."""
    from optuna.trial import TrialState

    trial = study.get_trials(deepcopy=False)[number]
    if trial.state == TrialState.FAIL:
        queue_again(study, trial)
