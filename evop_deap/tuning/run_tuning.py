"""A study from its options: what is tuned on, the trials, and the files that come out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from evop_deap.base.errors import InputError
from evop_deap.base.interruption import Interruption
from evop_deap.runs.listeners.progress import Progress, TerminalProgress
from evop_deap.settings.search_config import SearchConfig
from evop_deap.tuning.best_settings import study_table, write_best, write_trials
from evop_deap.tuning.objective import Objective
from evop_deap.tuning.problems import Problem, landscape_problem, model_problem
from evop_deap.tuning.settings_space import SettingsSpace
from evop_deap.tuning.study import open_study, run_study
from evop_deap.tuning.study_kinds import PRUNERS
from evop_deap.tuning.study_pictures import write_pictures
from evop_deap.tuning.study_storage import open_storage
from evop_deap.tuning.tuning_options import TuningOptions

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_STEPS = 9  # parts of the budget that are reported: 1, 3 and 9 are Hyperband's rungs


def run_tuning(options: TuningOptions, settings: Mapping[str, Any]) -> str:
    """Run a study, write what it found into its folder, and say it in a table.

    Args:
        options: how the study is run.
        settings: of a search on a model; none where landscapes are tuned on.

    Raises:
        InputError: an option or a setting cannot be used.
        KeyboardInterrupt: a signal arrived; it waits until the study may be left.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    output, interruption = Path(options.output), Interruption()
    space = SettingsSpace.from_file(Path(options.space)) if options.space else SettingsSpace()
    with _problems(options, settings) as problems:
        objective = Objective(
            problems,
            max_cost=options.max_cost,
            seeds=range(options.seeds),
            measure=options.objective,
            epsilon=options.epsilon,
            space=space,
            reports=PRUNERS[options.pruner],
            steps=_STEPS,
            check=interruption.check,
        )
        with interruption.awaited(), open_storage(options.journal) as (storage, workers):
            study = open_study(
                storage,
                workers,
                objective,
                name=options.study_name,
                sampler=options.sampler,
                pruner=options.pruner,
                seed=options.seed,
            )
            run_study(
                study,
                objective,
                workers,
                n_trials=options.n_trials,
                timeout=options.timeout,
                on_trial=None if options.quiet else _tell,
                check=interruption.check,
            )
            write_trials(output / "trials.json", study)
            write_best(output / "best.yaml", study, objective.space)
            if options.pictures:
                write_pictures(output, study)
            return f"{study_table(study)}\n\n{_where(output, options.pictures)}"


@contextmanager
def _problems(options: TuningOptions, settings: Mapping[str, Any]) -> Iterator[list[Problem]]:
    """What to tune on, as long as the body runs."""
    if bool(options.landscape) == ("model" in settings):
        raise InputError("`landscape` or `model` is required: give either of them, not both")
    if options.landscape:
        if settings:
            raise InputError(f"`{min(settings)}` says nothing of a landscape: leave it out")
        drops: Sequence[int | None] = options.drop or [None]
        yield [landscape_problem(Path(path), n) for path in options.landscape for n in drops]
        return
    if options.drop:
        raise InputError("`drop` is for a landscape: with a model, give `sparsity` or `budget`")
    if options.objective == "evaluations":
        raise InputError("`objective` evaluations asks for a known optimum: give a landscape")
    progress = Progress() if options.quiet else TerminalProgress(settings.get("fitness", "ce"))
    with model_problem(SearchConfig(**settings), progress) as problem:
        yield [problem]


def _tell(study: Study, trial: FrozenTrial) -> None:
    """A line on stderr for each trial that ends."""
    said = trial.state.name.lower()
    if trial.state.name == "COMPLETE":
        said = ", ".join(
            f"{name} {value:.4g}"
            for name, value in zip(study.metric_names or [], trial.values, strict=False)
        )
    elif "failure" in trial.user_attrs:
        said += f": {trial.user_attrs['failure']}"
    print(f"trial {trial.number}: {said}", file=sys.stderr, flush=True)  # noqa: T201


def _where(output: Path, pictures: bool) -> str:
    return "\n".join(
        [
            f"{output / 'best.yaml'}  for python -m evop_deap.search --config",
            f"{output / 'trials.json'}  all trials{'; pictures beside it' if pictures else ''}",
        ]
    )
