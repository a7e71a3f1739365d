"""Run a study from its options: open the problems, run trials and write files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from evop_deap.base.errors import EvopError, InputError
from evop_deap.base.interruption import Interruption
from evop_deap.runs.files_of_runs import check_outside_runs, kind_of_run
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
    """Run a study, write its files, and return a table of its best settings.

    Args:
        options: options of the study.
        settings: settings of the search on a model; empty for landscapes.

    Raises:
        InputError: an option or a setting is invalid.
        KeyboardInterrupt: a signal arrived; it is raised when the study is in a consistent state.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    output, interruption = Path(options.output), Interruption()
    if kind := kind_of_run(output):
        raise InputError(f"`output` {output} is the folder of a {kind}: choose another folder")
    check_outside_runs(output, "output")
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
                on_trial=None if options.quiet else _print_trial,
                check=interruption.check,
            )
            write_trials(output / "trials.json", study)
            write_best(output / "best.yaml", study, objective.space)
            drawn = options.pictures and _are_drawn(output, study)
            return f"{study_table(study)}\n\n{_where(output, drawn)}"


@contextmanager
def _problems(options: TuningOptions, settings: Mapping[str, Any]) -> Iterator[list[Problem]]:
    """Open the problems to tune on until the body ends."""
    if bool(options.landscape) == ("model" in settings):
        raise InputError("`landscape` or `model` is required: give either of them, not both")
    if options.landscape:
        if settings:
            raise InputError(f"`{min(settings)}` does not apply to a landscape: leave it out")
        drops: Sequence[int | None] = options.drop or [None]
        yield [landscape_problem(Path(path), n) for path in options.landscape for n in drops]
        return
    if options.drop:
        raise InputError("`drop` is for a landscape: with a model, give `sparsity` or `budget`")
    if options.objective == "evaluations":
        raise InputError("`objective` evaluations needs a known optimum: give a landscape")
    progress = Progress() if options.quiet else TerminalProgress(settings.get("fitness", "ce"))
    with model_problem(SearchConfig(**settings), progress) as problem:
        yield [problem]


def _print_trial(study: Study, trial: FrozenTrial) -> None:
    """Print a line on stderr when a trial ends."""
    outcome = trial.state.name.lower()
    if trial.state.name == "COMPLETE":
        outcome = ", ".join(
            f"{name} {value:.4g}"
            for name, value in zip(study.metric_names or [], trial.values, strict=False)
        )
    elif "failure" in trial.user_attrs:
        outcome += f": {trial.user_attrs['failure']}"
    print(f"trial {trial.number}: {outcome}", file=sys.stderr, flush=True)  # noqa: T201


def _are_drawn(output: Path, study: Study) -> bool:
    """Draw the plots, and return whether there are any; a failure is a warning on stderr."""
    try:
        return bool(write_pictures(output, study))
    except EvopError as error:
        print(f"warning: no plots, everything else is written ({error})", file=sys.stderr)  # noqa: T201
        return False


def _where(output: Path, pictures: bool) -> str:
    return "\n".join(
        [
            f"{output / 'best.yaml'}  for python -m evop_deap.search --config",
            f"{output / 'trials.json'}  all trials{'; plots beside it' if pictures else ''}",
        ]
    )
