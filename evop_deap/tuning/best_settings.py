"""Write the results of a study: the best settings as a configuration, and all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json, write_text
from evop_deap.base.user_text import message_line
from evop_deap.tuning.study import DESCRIPTION
from evop_deap.tuning.workers import RETRY_OF

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from evop_deap.tuning.settings_space import SettingsSpace


def best_trial(study: Study) -> FrozenTrial:
    """Return the trial with the lowest value; for several objectives, the lowest first value.

    Raises:
        InputError: no trial was completed.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not trials:
        raise InputError(f"`study_name` {study.study_name} has no completed trial yet")
    return min(trials, key=lambda trial: trial.values)


def write_best(path: Path, study: Study, space: SettingsSpace) -> None:
    """Write the best trial's settings for `python -m evop_deap.search --config`.

    The cost that they were tuned for becomes the limit of the search.

    Raises:
        InputError: no trial was completed.
        OutputError: the file cannot be written.
    """
    import yaml

    trial = best_trial(study)
    settings: dict[str, Any] = space.effective(trial.params)
    settings |= {"generations": None, "max_cost": study.user_attrs[DESCRIPTION]["max_cost"]}
    names = study.metric_names or []
    values = ", ".join(f"{n} {v:.6g}" for n, v in zip(names, trial.values, strict=False))
    about = f"# Trial {trial.number} of the study {message_line(study.study_name)}: {values}.\n"
    write_text(path, about + yaml.safe_dump(settings, sort_keys=False))


def write_trials(path: Path, study: Study) -> None:
    """Write a summary of all trials, with the description of the study.

    Raises:
        OutputError: the file cannot be written.
    """
    trials = [_plain(trial) for trial in study.get_trials(deepcopy=False)]
    about = {
        "study": study.study_name,
        "metrics": study.metric_names,
        **study.user_attrs.get(DESCRIPTION, {}),
    }
    write_json(path, {**about, "trials": trials})


def study_table(study: Study) -> str:
    """Return a table of the best trial and the defaults.

    Raises:
        InputError: no trial was completed.
    """
    best, trials = best_trial(study), study.get_trials(deepcopy=False)
    states = [trial.state.name.lower() for trial in trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    names = study.metric_names or []
    usual = _of_defaults(trials)
    defaults = {**dict(zip(names, usual.values or (), strict=False)), **usual.params}
    rows = {"": ("best", "defaults")}
    for name, value in {**dict(zip(names, best.values, strict=False)), **best.params}.items():
        rows[name] = _short(value), _short(defaults.get(name, ""))
    width = max(10, *(len(cell) for row in rows.values() for cell in row)) + 2
    table = [f"{name:20}{one:>{width}}{other:>{width}}" for name, (one, other) in rows.items()]
    head = f"trial {best.number} is the best of {len(trials)} ({counts})"
    return "\n".join([head, "", *table])


def _of_defaults(trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """Return trial 0, or the last one that ran its settings again."""
    last, *others = trials
    for trial in others:
        again = (trial.user_attrs.get(RETRY_OF), *trial.system_attrs.get("retry_history", ()))
        if last.number in again and trial.state.is_finished():
            last = trial
    return last


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(trial: FrozenTrial) -> Mapping[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": trial.params,
        **trial.user_attrs,
    }
