"""The options of a study, and their flags."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.settings.calibration_config import CALIBRATION
from evop_deap.settings.model_options import MODEL
from evop_deap.settings.parser import Option, float_flag, int_flag, path_flag
from evop_deap.settings.search_config import BUDGET, FITNESS
from evop_deap.tuning.settings_space import RANGES
from evop_deap.tuning.study_kinds import MEASURES, PRUNERS, SAMPLERS

MOST_SEEDS = 2**32
"""Number of seeds of NumPy's generator, which Optuna's samplers use."""


@dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """The options of a study; `python -m evop_deap.tune --help` describes them.

    Raises:
        InputError: a value out of its bounds.
    """

    output: str
    quiet: bool = False
    pictures: bool = True
    landscape: list[str] | None = None
    drop: list[int] | None = None
    seeds: int = 3
    max_cost: float = 60.0
    objective: str = "area"
    epsilon: float = 0.01
    storage: str | None = None
    study_name: str = "evop"
    n_trials: int = 100
    timeout: float | None = None
    space: str | None = None
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("n_trials", "seeds"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` must be at least 1, but got {getattr(self, name)}")
        if self.seed is not None and not 0 <= self.seed < MOST_SEEDS:
            raise InputError(
                f"`seed` must be at least 0 and below {MOST_SEEDS}, but got {self.seed}"
            )
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"`timeout` must be above 0, but got {self.timeout}")
        if self.pruner != "none" and self.objective == "regret-cost":
            raise InputError(
                f"`pruner` {self.pruner} cannot stop trials of two values: leave it out, or take "
                "another `objective` than regret-cost"
            )

    @property
    def journal(self) -> str:
        """URL or path of the study's storage."""
        return self.storage or str(Path(self.output) / "study.jsonl")


OPTIONS = tuple(field.name for field in dataclasses.fields(TuningOptions))
"""Names of the options, as in the flags."""


def of_a_problem(option: Option) -> bool:
    """Return whether a setting defines the problem, and not the evolution."""
    groups = (MODEL, CALIBRATION, BUDGET, FITNESS)
    return option.metadata["group"] in groups and option.name not in (*RANGES, "pareto")


def add_tuning_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each option, in three groups."""
    _add_run_flags(parser.add_argument_group("run"))
    _add_objective_flags(parser.add_argument_group("problem and objective"))
    _add_study_flags(parser.add_argument_group("study"))


def _add_run_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--output", type=path_flag, required=True, metavar="DIR", help="folder of the results"
    )
    group.add_argument("--quiet", action="store_true", help="no progress on stderr")
    group.add_argument(
        "--pictures",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="importance, parallel coordinates and history as HTML and PNG (default: on)",
    )


def _add_objective_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--landscape", nargs="+", type=path_flag, metavar="FILE", help="files of known losses"
    )
    group.add_argument(
        "--drop", nargs="+", type=int_flag, metavar="N", help="units to drop (default: the most)"
    )
    group.add_argument(
        "--seeds",
        type=int_flag,
        default=3,
        metavar="N",
        help="searches of each problem (default: 3)",
    )
    group.add_argument(
        "--max-cost",
        type=float_flag,
        default=60.0,
        metavar="COST",
        help="budget of each search, in dense forward passes (default: 60)",
    )
    group.add_argument(
        "--objective",
        choices=MEASURES,
        default="area",
        metavar="|".join(MEASURES),
        help="value to minimise: final regret, mean regret over the cost (area), evaluations until "
        "the regret is --epsilon, or regret and its cost (default: area)",
    )
    group.add_argument(
        "--epsilon",
        type=float_flag,
        default=0.01,
        metavar="E",
        help="target regret; a random pattern has 1 (default: 0.01)",
    )


def _add_study_flags(group: argparse._ArgumentGroup) -> None:
    add: Callable[..., object] = group.add_argument
    add(
        "--storage",
        metavar="URL|FILE",
        help="journal file for any number of processes, sqlite:///FILE for one, or URL of a "
        "database (default: study.jsonl in --output)",
    )
    add("--study-name", default="evop", metavar="NAME", help="name of the study (default: evop)")
    add(
        "--n-trials",
        type=int_flag,
        default=100,
        metavar="N",
        help="trials of the study, over all processes (default: 100)",
    )
    add("--timeout", type=float_flag, metavar="S", help="seconds after which no trial begins")
    add(
        "--space",
        type=path_flag,
        metavar="FILE",
        help="YAML file that narrows the ranges of settings",
    )
    for name, known, default in (("sampler", SAMPLERS, "tpe"), ("pruner", (*PRUNERS,), "none")):
        text = f"Optuna's {name} (default: {default})"
        add(f"--{name}", choices=known, default=default, metavar="|".join(known), help=text)
    add(
        "--seed",
        type=int_flag,
        metavar="N",
        help="seed of the sampler; use another in each process",
    )
