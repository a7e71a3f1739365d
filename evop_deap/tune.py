"""Tune the settings of the evolution with Optuna, on landscapes or on a model.

Every trial searches the same instances (a landscape or the model, with a seed) for the same cost.
On a landscape a search takes about a second; on a model, all trials share their losses.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evop_deap.base.errors import EvopError, InputError
from evop_deap.settings.calibration_config import CALIBRATION
from evop_deap.settings.model_options import MODEL
from evop_deap.settings.parser import Option, Parser, add_flags
from evop_deap.settings.search_config import BUDGET, FITNESS, SearchConfig
from evop_deap.tuning.interruption import Interruption
from evop_deap.tuning.settings_space import RANGES, SettingsSpace
from evop_deap.tuning.study_kinds import MEASURES, PRUNERS, SAMPLERS

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from evop_deap.tuning.objective import Objective
    from evop_deap.tuning.problems import Problem

_EXAMPLES = """examples:
  tune on a landscape file; no model is needed:
    python -m evop_deap.tune --landscape demo.npz --n-trials 200 --output runs/tuning
  use several processes: run this command once for each core
    python -m evop_deap.tune --landscape demo.npz --n-trials 1000 --output runs/tuning
  tune on a model, and search with the best settings:
    python -m evop_deap.tune --model demo --sparsity 0.2 --n-trials 50 --output runs/tuned
    python -m evop_deap.search --model demo --sparsity 0.2 --config runs/tuned/best.yaml \\
        --output runs/search
  look at a study during or after its run (pip install optuna-dashboard):
    optuna-dashboard runs/tuning/study.jsonl
"""

_STEPS = 9  # parts of the budget that are reported: 1, 3 and 9 are Hyperband's rungs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    interruption = Interruption()
    try:
        _tune(given, interruption)
    except EvopError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        print(f"\ninterrupted; {_advice(given)}", file=sys.stderr)  # noqa: T201
        return 128 + (interruption.number or signal.SIGINT)
    return 0


def _tune(given: argparse.Namespace, interruption: Interruption) -> None:
    for name in ("n_trials", "seeds"):
        if getattr(given, name) < 1:
            raise InputError(f"`{name}` must be at least 1, but got {getattr(given, name)}")
    if given.timeout is not None and not given.timeout > 0:
        raise InputError(f"`timeout` must be above 0, but got {given.timeout}")
    import optuna

    from evop_deap.tuning.best_settings import study_table
    from evop_deap.tuning.objective import Objective
    from evop_deap.tuning.study import open_study, run_study
    from evop_deap.tuning.study_storage import open_storage

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    output = Path(given.output)
    space = SettingsSpace.from_file(Path(given.space)) if given.space else SettingsSpace()
    with _problems(given) as problems:
        objective = Objective(
            problems,
            max_cost=given.max_cost,
            seeds=range(given.seeds),
            measure=given.objective,
            epsilon=given.epsilon,
            space=space,
            reports=PRUNERS[given.pruner],
            steps=_STEPS,
            check=interruption.check,
        )
        where = given.storage or str(output / "study.jsonl")
        with interruption.awaited(), open_storage(where) as (storage, workers):
            study = open_study(
                storage,
                workers,
                objective,
                name=given.study_name,
                sampler=given.sampler,
                pruner=given.pruner,
                seed=given.seed,
            )
            run_study(
                study,
                objective,
                workers,
                n_trials=given.n_trials,
                timeout=given.timeout,
                on_trial=None if given.quiet else _tell,
                check=interruption.check,
            )
            _write(output, study, objective, pictures=given.pictures)
            print(f"{study_table(study)}\n\n{_where(output, given.pictures)}")  # noqa: T201


@contextmanager
def _problems(given: argparse.Namespace) -> Iterator[list[Problem]]:
    """What to tune on, as long as the body runs."""
    from evop_deap.tuning.problems import landscape_problem, model_problem

    names = [option.name for option in dataclasses.fields(SearchConfig) if _of_a_problem(option)]
    settings = {name: getattr(given, name) for name in names if hasattr(given, name)}
    if bool(given.landscape) == ("model" in settings):
        raise InputError("`landscape` or `model` is required: give either of them, not both")
    if given.landscape:
        if settings:
            raise InputError(f"`{min(settings)}` says nothing of a landscape: leave it out")
        drops = given.drop or [None]
        yield [landscape_problem(Path(path), n) for path in given.landscape for n in drops]
        return
    if given.drop:
        raise InputError("`drop` is for a landscape: with a model, give `sparsity` or `budget`")
    if given.objective == "evaluations":
        raise InputError("`objective` evaluations asks for a known optimum: give a landscape")
    from evop_deap.runs.listeners.progress import Progress, TerminalProgress

    progress = Progress() if given.quiet else TerminalProgress(settings.get("fitness", "ce"))
    with model_problem(SearchConfig(**settings), progress) as problem:
        yield [problem]


def _write(output: Path, study: Study, objective: Objective, *, pictures: bool) -> None:
    from evop_deap.tuning.best_settings import write_best, write_trials
    from evop_deap.tuning.study_pictures import write_pictures

    write_trials(output / "trials.json", study)
    write_best(output / "best.yaml", study, objective.space)
    if pictures:
        write_pictures(output, study)


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


def _advice(given: argparse.Namespace) -> str:
    where = shlex.quote(given.storage or str(Path(given.output) / "study.jsonl"))
    return f"the same command goes on with the study in {where}"


def _of_a_problem(option: Option) -> bool:
    """Whether a setting says what is searched, and not how."""
    groups = (MODEL, CALIBRATION, BUDGET, FITNESS)
    return option.metadata["group"] in groups and option.name not in (*RANGES, "pareto")


def _parser() -> argparse.ArgumentParser:
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.tune",
        usage="%(prog)s (--landscape FILE ... | --model MODEL --sparsity SHARE) --output DIR "
        "[options]",
        description=description,
        epilog=_EXAMPLES,
    )
    _add_run_flags(parser.add_argument_group("run"))
    _add_evaluation_flags(parser.add_argument_group("how settings are evaluated"))
    _add_study_flags(parser.add_argument_group("study"))
    add_flags(parser, SearchConfig, _of_a_problem)
    return parser


def _add_run_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--output", required=True, metavar="DIR", help="folder of the study")
    group.add_argument("--quiet", action="store_true", help="no progress on stderr")
    group.add_argument(
        "--pictures",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="draw importance, parallel coordinates and history as HTML and PNG (default: on)",
    )


def _add_evaluation_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--landscape", nargs="+", metavar="FILE", help="files of known losses")
    group.add_argument(
        "--drop", nargs="+", type=int, metavar="N", help="units to drop (default: the most)"
    )
    group.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="searches per problem (default: 3)"
    )
    group.add_argument(
        "--max-cost",
        type=float,
        default=60.0,
        metavar="COST",
        help="cost of each search, in dense forward passes (default: 60)",
    )
    group.add_argument(
        "--objective",
        choices=MEASURES,
        default="area",
        metavar="|".join(MEASURES),
        help="what to minimise: final regret, its mean over the budget (area), evaluations until "
        "regret is --epsilon, or regret and cost together (default: area)",
    )
    group.add_argument(
        "--epsilon",
        type=float,
        default=0.01,
        metavar="E",
        help="regret that counts as found; that of a random pattern is 1 (default: 0.01)",
    )


def _add_study_flags(group: argparse._ArgumentGroup) -> None:
    add: Callable[..., object] = group.add_argument
    add(
        "--storage",
        metavar="URL|FILE",
        help="journal file (many processes), sqlite:///FILE (one process) or a database URL "
        "(default: study.jsonl in --output)",
    )
    add("--study-name", default="evop", metavar="NAME", help="name in the storage (default: evop)")
    add(
        "--n-trials",
        type=int,
        default=100,
        metavar="N",
        help="trials of the whole study, over all processes (default: 100)",
    )
    add("--timeout", type=float, metavar="S", help="seconds after which no new trial starts")
    add("--space", metavar="FILE", help="YAML file that narrows the ranges of the settings")
    for name, known, default in (("sampler", SAMPLERS, "tpe"), ("pruner", (*PRUNERS,), "none")):
        text = f"{name} of Optuna (default: {default})"
        add(f"--{name}", choices=known, default=default, metavar="|".join(known), help=text)
    add("--seed", type=int, metavar="N", help="seed of the sampler; give each process another")


if __name__ == "__main__":
    sys.exit(main())
