"""How a study is run, and the flags that say so."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.settings.calibration_config import CALIBRATION
from evop_deap.settings.model_options import MODEL
from evop_deap.settings.parser import Option
from evop_deap.settings.search_config import BUDGET, FITNESS
from evop_deap.tuning.settings_space import RANGES
from evop_deap.tuning.study_kinds import MEASURES, PRUNERS, SAMPLERS


@dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """How a study is run; see each flag's help in `python -m evop_deap.tune --help`.

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
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"`timeout` must be above 0, but got {self.timeout}")

    @property
    def journal(self) -> str:
        """Where the study is stored."""
        return self.storage or str(Path(self.output) / "study.jsonl")


OPTIONS = tuple(field.name for field in dataclasses.fields(TuningOptions))
"""Names of the options, as the flags have them."""


def of_a_problem(option: Option) -> bool:
    """Whether a setting says what is searched, and not how."""
    groups = (MODEL, CALIBRATION, BUDGET, FITNESS)
    return option.metadata["group"] in groups and option.name not in (*RANGES, "pareto")


def add_tuning_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for each of the options, in three groups."""
    _add_run_flags(parser.add_argument_group("run"))
    _add_judging_flags(parser.add_argument_group("how settings are evaluated"))
    _add_study_flags(parser.add_argument_group("study"))


def _add_run_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--output", required=True, metavar="DIR", help="folder for what is found")
    group.add_argument("--quiet", action="store_true", help="no progress on stderr")
    group.add_argument(
        "--pictures",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="importance, parallel coordinates and history as HTML and PNG (default: on)",
    )


def _add_judging_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--landscape", nargs="+", metavar="FILE", help="files of known losses")
    group.add_argument(
        "--drop", nargs="+", type=int, metavar="N", help="units dropped there (default: the most)"
    )
    group.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="searches of each (default: 3)"
    )
    group.add_argument(
        "--max-cost",
        type=float,
        default=60.0,
        metavar="COST",
        help="of each search, in dense forward passes (default: 60)",
    )
    group.add_argument(
        "--objective",
        choices=MEASURES,
        default="area",
        metavar="|".join(MEASURES),
        help="regret at the end, the mean of it on the way (area), evaluations until it is "
        "--epsilon, or regret and what it cost (default: area)",
    )
    group.add_argument(
        "--epsilon",
        type=float,
        default=0.01,
        metavar="E",
        help="regret that is good enough; a random pattern's is 1 (default: 0.01)",
    )


def _add_study_flags(group: argparse._ArgumentGroup) -> None:
    add: Callable[..., object] = group.add_argument
    add(
        "--storage",
        metavar="URL|FILE",
        help="a journal file, for any number of processes, sqlite:///FILE for one, or a database "
        "(default: study.jsonl in --output)",
    )
    add("--study-name", default="evop", metavar="NAME", help="in the storage (default: evop)")
    add(
        "--n-trials",
        type=int,
        default=100,
        metavar="N",
        help="that the study shall have, whoever ran them (default: 100)",
    )
    add("--timeout", type=float, metavar="S", help="seconds after which no trial is begun")
    add("--space", metavar="FILE", help="YAML file that narrows the settings to choose from")
    for name, known, default in (("sampler", SAMPLERS, "tpe"), ("pruner", (*PRUNERS,), "none")):
        text = f"Optuna's (default: {default})"
        add(f"--{name}", choices=known, default=default, metavar="|".join(known), help=text)
    add("--seed", type=int, metavar="N", help="of the sampler; each process takes another")
