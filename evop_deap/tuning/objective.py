"""An objective for Optuna studies of the evolution's settings.

A trial searches every instance, a problem with a seed, with the same budget. The budget is a cost
and not a number of evaluations or generations, because racing saves cost.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from evop_deap.base.errors import EvopError, InputError, one_line
from evop_deap.space import dropped_units
from evop_deap.tuning.budgeted_run import BudgetedRun, area_under, evaluations_within
from evop_deap.tuning.problems import Problem
from evop_deap.tuning.settings_space import SettingsSpace
from evop_deap.tuning.study_kinds import MEASURES, REPORTS

if TYPE_CHECKING:
    from optuna import Trial


class FailedRunError(EvopError, RuntimeError):
    """A search in which no pattern had a finite loss."""


class Objective:
    """The quality of settings, to minimise with `study.optimize(Objective(...))`.

    Args:
        problems: problems to search.
        max_cost: dense-forward equivalents that each search may spend.
        seeds: every problem is searched once with each seed.
        measure: the value, as a mean over the instances. `regret`: regret of the best pattern, 0
            at the optimum and 1 at a random pattern. `area`: its mean over the cost.
            `evaluations`: patterns evaluated until the regret is at most `epsilon`, where the
            search ends, or twice the patterns evaluated if it never is. `regret-cost`: the
            regret and the cost until it was reached, for a study with two directions.
        epsilon: target regret of `evaluations`.
        space: settings to choose from.
        reports: values reported to the study's pruner: `instances` suits Optuna's
            WilcoxonPruner, `steps` suits pruners of partial trials, such as HyperbandPruner.
        steps: number of equal parts of `max_cost`, with a report after each, for `steps`.
        check: called after each generation of each search; may raise to interrupt the trial.

    Example:
        >>> import itertools, optuna
        >>> from evop_deap import SearchSpace, TabularEvaluator, Unit
        >>> space = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(6)), n_drop=2)
        >>> losses = {p: float(sum(i * (1 - g) for i, g in enumerate(p)))
        ...           for p in itertools.product((0, 1), repeat=6) if p in space}
        >>> problem = Problem("toy", space, TabularEvaluator(losses), best=1.0, typical=5.0,
        ...                   optimum_known=True)
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(Objective([problem], max_cost=10), n_trials=3)
        >>> 0 <= study.best_value <= 1, study.best_trial.user_attrs["seeds"]
        (True, [0, 1, 2])

    Raises:
        InputError: an invalid argument, or, when called, a study with other directions.
        FailedRunError: when called, a search without a finite loss.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        *,
        max_cost: float,
        seeds: Sequence[int] = (0, 1, 2),
        measure: str = "regret",
        epsilon: float = 0.01,
        space: SettingsSpace | None = None,
        reports: str = "none",
        steps: int = 9,
        check: Callable[[], object] | None = None,
    ) -> None:
        _check("measure", measure, MEASURES)
        _check("reports", reports, REPORTS)
        if not problems or not seeds:
            raise InputError("`problems` and `seeds` must hold at least one each, but got none")
        if not (math.isfinite(max_cost) and max_cost > 0):
            raise InputError(f"`max_cost` must be above 0 and finite, but got {max_cost}")
        if not 0 <= epsilon < 1:
            raise InputError(f"`epsilon` must be at least 0 and below 1, but got {epsilon}")
        if steps < 1:
            raise InputError(f"`steps` must be at least 1, but got {steps}")
        unknown = [problem.name for problem in problems if not problem.optimum_known]
        if measure == "evaluations" and unknown:
            raise InputError(
                f"`measure` evaluations needs a known optimum, which {unknown[0]} does not have: "
                "use regret or area, or a landscape"
            )
        self.problems = tuple(problems)
        self.max_cost = max_cost
        self.seeds = tuple(seeds)
        self.measure = measure
        self.epsilon = epsilon
        scored = set.intersection(*(set(problem.scores) for problem in problems))
        self.space = (space or SettingsSpace()).offered(scored)
        self.reports = reports if measure != "regret-cost" else "none"
        self.steps = steps
        self._check = check

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        """Directions for `optuna.create_study`."""
        return ["minimize"] * (2 if self.measure == "regret-cost" else 1)

    @property
    def names(self) -> list[str]:
        """Names of the values, for `study.set_metric_names`."""
        return ["regret", "cost"] if self.measure == "regret-cost" else [self.measure]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values that must be equal for trials to be comparable."""
        return {
            "measure": self.measure,
            "problems": [problem.name for problem in self.problems],
            "seeds": list(self.seeds),
            "max_cost": self.max_cost,
            "epsilon": self.epsilon,
            "space": self.space.as_dict(),
        }

    def __call__(self, trial: Trial) -> float | tuple[float, ...]:
        """Search every instance with the trial's settings, and return the value or values."""
        if len(trial.study.directions) != len(self.directions):
            raise InputError(
                f"`measure` {self.measure} has {len(self.directions)} values, but the study has "
                f"{len(trial.study.directions)} directions: create it with `directions`"
            )
        settings = self.space.suggest(trial)
        # Seeds in the outer loop, so that the first instances are different problems.
        runs = [BudgetedRun(p, seed, settings) for seed in self.seeds for p in self.problems]
        from optuna import TrialPruned

        try:
            if self.reports == "steps":
                self._step_by_step(trial, runs)
            else:
                self._one_by_one(trial, runs)
            values = [statistics.fmean(v) for v in zip(*map(self._values, runs), strict=True)]
        except TrialPruned:
            raise
        except BaseException as error:
            trial.set_user_attr("failure", one_line(f"{type(error).__name__} {error}"))
            raise
        finally:
            for name, value in self._attributes(runs).items():
                trial.set_user_attr(name, value)
        return tuple(values) if len(values) > 1 else values[0]

    def _one_by_one(self, trial: Trial, runs: Sequence[BudgetedRun]) -> None:
        """Run the searches one after the other, with a report for each instance."""
        for number, run in enumerate(runs):
            self._advance(run, self.max_cost)
            _check_found(run)
            if self.reports == "instances":
                _report(trial, self._values(run)[0], number)

    def _step_by_step(self, trial: Trial, runs: Sequence[BudgetedRun]) -> None:
        """Run all searches in equal steps of cost, with a report of the mean regret after each."""
        for step in range(1, self.steps + 1):
            cost = self.max_cost * step / self.steps
            for run in runs:
                self._advance(run, cost)
                if step == self.steps:
                    _check_found(run)
            _report(trial, statistics.fmean(run.regret_at(cost) for run in runs), step)

    def _advance(self, run: BudgetedRun, cost: float) -> None:
        enough = self.epsilon if self.measure == "evaluations" else None
        run.advance(cost, enough=enough, check=self._check)

    def _values(self, run: BudgetedRun) -> tuple[float, ...]:
        """Return the value or values of a search that has spent its budget."""
        regret = run.regret_at(self.max_cost)
        measured: Mapping[str, Callable[[], tuple[float, ...]]] = {
            "regret": lambda: (regret,),
            "area": lambda: (area_under(run.points, self.max_cost),),
            "evaluations": lambda: (evaluations_within(run.points, self.max_cost, self.epsilon),),
            "regret-cost": lambda: (regret, self._cost_of(run, regret)),
        }
        return measured[self.measure]()

    def _cost_of(self, run: BudgetedRun, regret: float) -> float:
        """Return the cost until the final regret was reached; `max_cost` for a regret of 1."""
        found = (point.cost for point in run.points if point.regret <= regret < 1)
        return min(next(found, self.max_cost), self.max_cost)

    def _attributes(self, runs: Sequence[BudgetedRun]) -> dict[str, Any]:
        """Return the user attributes of a trial, as plain JSON values."""
        begun = [(run, run.state) for run in runs if run.state is not None]
        best: dict[str, tuple[float, list[str]]] = {}
        for run, state in begun:
            units = run.problem.space.units
            dropped = [units[i].name for i in dropped_units(state.best.pattern)]
            found = (state.best.loss, dropped)
            best[run.problem.name] = min(best.get(run.problem.name, found), found)
        return {
            "evaluations": sum(state.evaluations for _, state in begun),
            "cost": sum(state.cost for _, state in begun),
            "cache_hits": sum(run.hits for run, _ in begun),
            "dropped": {name: dropped for name, (_, dropped) in best.items()},
            "regrets": [run.regret_at(self.max_cost) for run, _ in begun],
            "seeds": list(self.seeds),
        }


def _check_found(run: BudgetedRun) -> None:
    """Refuse a search that has spent its budget without a finite loss."""
    assert run.state is not None
    if not math.isfinite(run.state.best.loss):
        raise FailedRunError(
            f"no pattern with a finite loss in {run.problem.name}, seed {run.seed}"
        )


def _report(trial: Trial, value: float, step: int) -> None:
    """Report a value to the pruner, and stop the trial if it is pruned."""
    from optuna import TrialPruned

    trial.report(value, step)
    if trial.should_prune():
        raise TrialPruned(f"after step {step}")


def _check(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"`{name}` must be {' or '.join(known)}, but got '{value}'")
