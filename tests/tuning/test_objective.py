"""What settings are worth: the same cost for all, in numbers that are never infinite."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_landscapes import toy_landscape, write_toy_landscape

from evop_deap.base.errors import InputError
from evop_deap.fitness.landscape import save_landscape
from evop_deap.fitness.plain_function import FunctionEvaluator
from evop_deap.fitness.protocol import Evaluation
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.space import Pattern, SearchSpace, Unit
from evop_deap.tuning.budgeted_run import (
    BudgetedRun,
    Point,
    area_under,
    evaluations_within,
)
from evop_deap.tuning.even_charge import evenly_charged
from evop_deap.tuning.objective import FailedRunError, Objective
from evop_deap.tuning.problems import Problem, known_spaces, landscape_problem
from evop_deap.tuning.settings_space import Choices, SettingsSpace

DEFAULTS = SettingsSpace().effective({"init": "balanced"})


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> list[Problem]:
    folder = tmp_path_factory.mktemp("landscapes")
    return [landscape_problem(write_toy_landscape(folder / f"{seed}.npz", seed)) for seed in (0, 1)]


def optimised(objective: Objective, n_trials: int = 3, **options: Any) -> optuna.Study:
    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=0), directions=objective.directions, **options
    )
    study.optimize(objective, n_trials=n_trials)
    return study


@pytest.mark.parametrize("by_name", [False, True])
def test_a_landscape_that_keeps_what_rules_have_seen_is_searched_from_there(
    by_name: bool, tmp_path: Path
) -> None:
    known = toy_landscape(drops=(1, 2, 3))
    losses = dict(zip(known.rows, known.losses.tolist(), strict=True))
    best = min((p for p in known.rows if sum(p) == 6), key=losses.__getitem__)
    scores = [float(gene) for gene in best]
    names = [unit.name for unit in known.units]
    said = dict(zip(names, scores, strict=True)) if by_name else scores
    looks = {"block-influence": {"scores": said, "cost": 1.25}}
    path = tmp_path / "seen.npz"
    save_landscape(path, dataclasses.replace(known, about={"looks": looks}))
    problem = landscape_problem(path)
    objective = Objective([problem], max_cost=20)
    assert objective.space.ranges["init"] == Choices(("balanced", "block-influence"))
    costs = {}
    for init in ("balanced", "block-influence"):
        chosen = {"init": init, "racing": "off", "surrogate": "none"}
        run = BudgetedRun(problem, 0, SettingsSpace().effective(chosen))
        run.advance(0.1)
        assert run.state is not None
        costs[init] = run.state.cost
        assert (next(iter(run.state.losses)) == best) == (init != "balanced")
    assert costs["block-influence"] > 1.25
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    assert objective(study.ask()) < 1
    with pytest.raises(InputError, match="init names taylor"):
        Objective([problem], max_cost=20, space=SettingsSpace.from_mapping({"init": "taylor"}))


@pytest.mark.parametrize(
    "looks",
    [
        [1],
        {"a": 3},
        {"a": {"scores": [1.0]}},
        {"a": {"scores": [1.0], "cost": 1}},
        {"a": {"scores": {"0": 1.0}, "cost": 1}},
    ],
)
def test_looks_that_do_not_fit_are_refused(looks: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    save_landscape(path, dataclasses.replace(toy_landscape(), about={"looks": looks}))
    with pytest.raises(InputError, match="`looks` of a landscape"):
        landscape_problem(path)


POINTS = st.lists(
    st.tuples(st.floats(0.1, 9), st.integers(1, 9), st.floats(0, 1)), min_size=1, max_size=9
).map(
    lambda steps: [
        Point(
            sum(cost for cost, _, _ in steps[: n + 1]),
            sum(count for _, count, _ in steps[: n + 1]),
            min(regret for _, _, regret in steps[: n + 1]),
        )
        for n in range(len(steps))
    ]
)


@given(points=POINTS, cost=st.floats(0.1, 60))
def test_the_area_lies_between_the_regret_at_the_end_and_that_of_a_random_pattern(
    points: list[Point], cost: float
) -> None:
    end = min((p.regret for p in points if p.cost <= cost), default=1.0)
    assert end - 1e-12 <= area_under(points, cost) <= 1 + 1e-12


def test_the_area_is_the_mean_of_the_curve_of_steps() -> None:
    points = [Point(2, 4, 0.5), Point(6, 9, 0.25), Point(12, 20, 0.0)]
    assert area_under(points, 8) == (2 * 1 + 4 * 0.5 + 2 * 0.25) / 8
    assert area_under(points, 1) == 1


@pytest.mark.parametrize(
    ("epsilon", "evaluations"), [(0.5, 4), (0.3, 9), (0.25, 9), (0.1, 40.0), (0, 40.0)]
)
def test_what_is_not_reached_for_the_cost_counts_twice(epsilon: float, evaluations: float) -> None:
    points = [Point(2, 4, 0.5), Point(6, 9, 0.25), Point(12, 20, 0.0)]
    assert evaluations_within(points, 8, epsilon) == evaluations


def test_a_search_in_parts_is_the_search_in_one_go(problems: list[Problem]) -> None:
    large = {**DEFAULTS, "population": 8, "offspring": 8}
    whole, parts = (BudgetedRun(problems[0], 3, large) for _ in range(2))
    whole.advance(20)
    for cost in (1, 4, 4, 11, 20):
        parts.advance(cost)
    assert parts.points == whole.points
    assert parts.state is not None
    assert whole.state is not None
    assert parts.state.losses == whole.state.losses
    assert parts.state.cost >= 20


def test_a_space_that_is_used_up_ends_the_search_however_much_is_left(tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    save_landscape(path, toy_landscape(units=4, drops=(1,)))
    run = BudgetedRun(landscape_problem(path), 0, {**DEFAULTS, "racing": "off"})
    run.advance(1000)
    run.advance(2000)
    assert run.state is not None
    assert run.state.evaluations == 4
    assert run.regret_at(2000) == 0


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), cost=st.floats(1, 30))
def test_regret_falls_from_that_of_a_random_pattern_and_what_is_over_budget_does_not_count(
    seed: int, cost: float
) -> None:
    known = toy_landscape(seed)
    losses = known.losses
    problem = Problem(
        "toy",
        SearchSpace(known.units, 3),
        TabularEvaluator(known),
        best=float(losses.min()),
        typical=float(np.median(losses)),
        optimum_known=True,
    )
    run = BudgetedRun(problem, seed, DEFAULTS)
    run.advance(cost)
    regrets = [point.regret for point in run.points]
    assert regrets == sorted(regrets, reverse=True)
    assert 0 <= regrets[-1] <= regrets[0] <= 1
    within = [point for point in run.points if point.cost <= cost]
    assert run.regret_at(cost) == (within[-1].regret if within else 1)


def test_a_landscape_is_searched_where_it_is_known_whole(tmp_path: Path) -> None:
    path = write_toy_landscape(tmp_path / "some.npz", drops=(1, 2, 3))
    assert [landscape_problem(path, n).space.n_drop for n in (None, 1, 2)] == [3, 1, 2]
    assert {landscape_problem(path, n).name for n in (1, 2)} != {landscape_problem(path).name}
    with pytest.raises(InputError, match="`drop` must be one of 1, 2, 3, .* but got 4"):
        landscape_problem(path, 4)
    known = toy_landscape(drops=(2,))
    part = dataclasses.replace(known, patterns=known.patterns[1:], sums=known.sums[1:])
    save_landscape(path, part)
    with pytest.raises(InputError, match="holds no complete space"):
        landscape_problem(path)


def test_units_that_a_landscape_protects_do_not_count() -> None:
    known = toy_landscape(drops=(2,))
    free = known.patterns[:, 0] == 1
    part = dataclasses.replace(
        known, patterns=known.patterns[free], sums=known.sums[free], about={"protected": [0]}
    )
    (space,) = known_spaces(part)
    assert (space.n_drop, space.protected, space.size) == (2, frozenset({0}), int(free.sum()))


@pytest.mark.parametrize("measure", ["regret", "area", "evaluations", "regret-cost"])
def test_every_trial_says_what_it_did(measure: str, problems: list[Problem]) -> None:
    objective = Objective(problems, max_cost=12, seeds=(4, 7), measure=measure)
    study = optimised(objective)
    for trial in study.trials:
        told = trial.user_attrs
        assert json.loads(json.dumps(told)) == told
        assert told["seeds"] == [4, 7]
        assert len(told["regrets"]) == 4
        assert told["cost"] >= 4 * 12 or measure == "evaluations"
        assert told["evaluations"] > 0 == told["cache_hits"]
        assert {len(dropped) for dropped in told["dropped"].values()} == {3}
        assert told["dropped"].keys() == {problem.name for problem in problems}
        assert all(math.isfinite(value) for value in trial.values)
    if measure in ("regret", "regret-cost"):
        for trial in study.trials:
            assert trial.values[0] == pytest.approx(np.mean(trial.user_attrs["regrets"]))
    if measure == "regret-cost":
        assert all(0 < trial.values[1] <= 12 for trial in study.trials)


def test_the_same_settings_are_worth_the_same_again(problems: list[Problem]) -> None:
    objective = Objective(problems, max_cost=12)
    first, again = (optimised(objective).trials for _ in range(2))
    assert [t.values for t in first] == [t.values for t in again]
    assert len({t.value for t in first}) > 1


def test_with_an_instance_for_each_step_every_trial_can_be_compared_in_pairs(
    problems: list[Problem],
) -> None:
    objective = Objective(problems, max_cost=12, seeds=range(3), reports="instances")
    trial = optimised(objective, 1).trials[0]
    assert list(trial.intermediate_values) == list(range(6))
    assert trial.value == pytest.approx(np.mean(list(trial.intermediate_values.values())))


@pytest.mark.parametrize("measure", ["regret", "area"])
def test_reports_at_equal_costs_fall_to_the_regret_at_the_end_and_change_no_value(
    measure: str, problems: list[Problem]
) -> None:
    shared = {"max_cost": 12.0, "measure": measure}
    told = optimised(Objective(problems, reports="steps", steps=4, **shared), 2).trials
    quiet = optimised(Objective(problems, **shared), 2).trials
    for trial, silent in zip(told, quiet, strict=True):
        values = list(trial.intermediate_values.values())
        assert list(trial.intermediate_values) == [1, 2, 3, 4]
        assert values == sorted(values, reverse=True)
        assert values[-1] == pytest.approx(np.mean(trial.user_attrs["regrets"]))
        assert trial.value == silent.value
        assert silent.intermediate_values == {}


class _Always(optuna.pruners.BasePruner):
    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return True


@pytest.mark.parametrize("reports", ["none", "steps"])
def test_a_search_for_a_good_pattern_ends_where_it_has_one(
    reports: str, problems: list[Problem]
) -> None:
    objective = Objective(
        problems, max_cost=200, measure="evaluations", epsilon=0.0, reports=reports
    )
    (trial,) = optimised(objective, 1).trials
    assert trial.user_attrs["regrets"] == [0.0] * 6
    assert trial.user_attrs["cost"] < 6 * 100
    assert trial.value == pytest.approx(trial.user_attrs["evaluations"] / 6)


def test_a_trial_can_be_interrupted_after_each_generation(problems: list[Problem]) -> None:
    generations: list[int] = []

    def check() -> None:
        generations.append(1)
        if len(generations) == 3:
            raise KeyboardInterrupt

    study = optuna.create_study()
    with pytest.raises(KeyboardInterrupt):
        study.optimize(Objective(problems, max_cost=12, check=check), n_trials=1)
    assert study.trials[0].state.name == "FAIL"
    assert study.trials[0].user_attrs["failure"].startswith("KeyboardInterrupt")


@pytest.mark.parametrize("reports", ["instances", "steps"])
def test_a_pruned_trial_still_says_what_it_did(reports: str, problems: list[Problem]) -> None:
    objective = Objective(problems, max_cost=12, reports=reports)
    (trial,) = optimised(objective, 1, pruner=_Always()).trials
    assert trial.state == optuna.trial.TrialState.PRUNED
    assert 0 < trial.user_attrs["cost"] < 6 * 12
    assert "failure" not in trial.user_attrs


@pytest.mark.parametrize(
    ("pruner", "reports"),
    [
        pytest.param(
            lambda: optuna.pruners.WilcoxonPruner(p_threshold=0.3),
            "instances",
            marks=pytest.mark.slow,
        ),
        (lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9), "steps"),
    ],
)
def test_optunas_own_pruners_understand_the_reports(
    pruner: Callable[[], optuna.pruners.BasePruner], reports: str, problems: list[Problem]
) -> None:
    objective = Objective(problems, max_cost=8, seeds=range(4), reports=reports)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optimised(objective, 12, pruner=pruner())
    states = {trial.state.name for trial in study.trials}
    assert states == {"COMPLETE", "PRUNED"}


def test_with_two_values_nothing_is_reported(problems: list[Problem]) -> None:
    objective = Objective(problems, max_cost=8, measure="regret-cost", reports="steps")
    assert optimised(objective, 1).trials[0].intermediate_values == {}


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_search_that_finds_nothing_fails_by_name_and_is_never_worth_infinity(
    loss: float,
) -> None:
    units = tuple(Unit(str(i), 1, 1) for i in range(5))
    table = dict.fromkeys(itertools.product((0, 1), repeat=5), loss)
    problem = Problem("bad", SearchSpace(units, 2), TabularEvaluator(table), 0.0, 1.0, True)
    study = optuna.create_study()
    study.optimize(Objective([problem], max_cost=5), n_trials=2, catch=(FailedRunError,))
    for trial in study.trials:
        assert (trial.state.name, trial.value) == ("FAIL", None)
        assert trial.user_attrs["failure"].startswith("FailedRunError no pattern with a finite")
        assert trial.user_attrs["regrets"] == [1.0]


@pytest.mark.parametrize("reports", ["none", "steps"])
def test_a_search_may_find_its_first_finite_loss_late(reports: str) -> None:
    units = tuple(Unit(str(i), 1, 1) for i in range(12))

    def losses(patterns: Sequence[Pattern]) -> list[float]:
        return [math.inf if any(pattern[:2]) else 6.0 for pattern in patterns]

    space = SearchSpace(units, n_drop=4)
    problem = Problem("late", space, losses, best=6.0, typical=20.0, optimum_known=True)
    begun = BudgetedRun(problem, 1, DEFAULTS)
    begun.advance(120 / 9)
    assert begun.state is not None
    assert begun.state.best.loss == math.inf
    objective = Objective([problem], max_cost=120, seeds=[1], reports=reports)
    study = optuna.create_study(pruner=optuna.pruners.NopPruner())
    study.enqueue_trial(objective.space.defaults)
    study.optimize(objective, n_trials=1)
    assert study.best_value == 0


def test_a_single_loss_that_is_no_number_harms_nobody(tmp_path: Path) -> None:
    known = toy_landscape()
    known.sums[::5, 1] = np.nan
    save_landscape(tmp_path / "holes.npz", known)
    study = optimised(Objective([landscape_problem(tmp_path / "holes.npz")], max_cost=10))
    assert all(0 <= trial.value <= 1 for trial in study.trials)


def test_a_study_of_other_directions_is_refused(problems: list[Problem]) -> None:
    study = optuna.create_study()
    with pytest.raises(InputError, match="regret-cost has 2 values, but the study has 1 dir"):
        study.optimize(Objective(problems, max_cost=8, measure="regret-cost"), n_trials=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problems": []}, "`problems` and `seeds` must hold at least one"),
        ({"seeds": ()}, "`problems` and `seeds` must hold at least one"),
        ({"max_cost": 0}, "`max_cost` must be above 0 and finite, but got 0"),
        ({"max_cost": math.inf}, "`max_cost` must be above 0 and finite, but got inf"),
        ({"max_cost": math.nan}, "`max_cost` must be above 0 and finite, but got nan"),
        ({"measure": "best"}, "`measure` must be regret or area or .* but got 'best'"),
        ({"reports": "all"}, "`reports` must be none or instances or steps, but got 'all'"),
        ({"epsilon": 1}, "`epsilon` must be at least 0 and below 1, but got 1"),
        ({"steps": 0}, "`steps` must be at least 1, but got 0"),
    ],
)
def test_a_bad_argument_is_refused_by_name(
    changes: dict[str, Any], message: str, problems: list[Problem]
) -> None:
    with pytest.raises(InputError, match=message):
        Objective(**{"problems": problems, "max_cost": 8, **changes})


def test_evaluations_to_an_optimum_ask_for_one(problems: list[Problem]) -> None:
    unknown = dataclasses.replace(problems[0], optimum_known=False)
    with pytest.raises(InputError, match="needs a known optimum, which .* does not have"):
        Objective([problems[1], unknown], max_cost=8, measure="evaluations")
    Objective([unknown], max_cost=8, measure="area")


class _Free:
    """Answers for nothing, as a cache does that has seen it all."""

    def __init__(self) -> None:
        self._table = TabularEvaluator(toy_landscape())

    def evaluate(self, patterns: Any, windows: Any = None) -> Evaluation:
        found = self._table.evaluate(patterns, windows)
        costs = np.zeros(len(patterns))
        known = np.ones(len(patterns), dtype=bool)
        return Evaluation(found.sums, found.tokens, costs, known=known)


def test_what_a_cache_knows_is_charged_like_anything_else_and_counted_as_a_hit() -> None:
    released: list[int] = []
    known = toy_landscape()
    charged = evenly_charged(
        _Free(), work=[10] * 9, head_work=20, release=lambda: released.append(1)
    )
    patterns = [tuple(row) for row in known.patterns[:3].tolist()]
    expected = walk_costs(patterns, [10] * 9, 20)
    np.testing.assert_allclose(charged.evaluate(patterns).costs, expected)
    np.testing.assert_allclose(charged.evaluate(patterns, [2]).costs, expected / 4)
    assert len(released) == 2
    space = SearchSpace(known.units, 3)
    alike = [
        BudgetedRun(Problem("toy", space, evaluator, 0.0, 9.0, False), 0, DEFAULTS)
        for evaluator in (charged, TabularEvaluator(known))
    ]
    for run in alike:
        run.advance(15)
    assert alike[0].points == alike[1].points
    assert alike[0].hits > 0 == alike[1].hits


@pytest.mark.parametrize(
    ("best", "typical", "message"),
    [
        (math.nan, 2.0, "`best` must be finite, but got nan"),
        (-math.inf, 2.0, "`best` must be finite, but got -inf"),
        (0.0, math.inf, "`typical` must be finite, but got inf"),
        (3.0, 2.0, "`best` must be at most `typical`, 2.0, but got 3.0"),
    ],
)
def test_a_scale_of_regret_runs_from_the_best_loss_to_a_worse_one(
    best: float, typical: float, message: str
) -> None:
    space = SearchSpace(toy_landscape().units, 3)
    with pytest.raises(InputError, match=message):
        Problem("own", space, TabularEvaluator(toy_landscape()), best, typical, True)
    assert Problem("own", space, TabularEvaluator(toy_landscape()), 2, 2, True).regret(3) == 1


def test_a_plain_function_of_patterns_is_the_fitness_of_a_problem() -> None:
    space = SearchSpace(toy_landscape().units, 3)
    problem = Problem(
        "own", space, lambda patterns: [float(sum(p[:3])) for p in patterns], 0, 2, True
    )
    objective = Objective([problem], max_cost=30, measure="regret")
    study = optuna.create_study()
    study.enqueue_trial(objective.space.defaults)
    study.optimize(objective, n_trials=2)
    assert study.best_value == 0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda patterns: [1.0], "must return a loss for each of 2 patterns, but returned 1"),
        (lambda patterns: ["a", "b"], "must return a number for each pattern, but returned 'a'"),
    ],
)
def test_what_is_no_loss_of_a_function_is_refused(function: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FunctionEvaluator(function).evaluate([(0, 1), (1, 0)])


def test_losses_of_a_function_that_are_not_finite_never_win() -> None:
    found = FunctionEvaluator(lambda patterns: [math.nan, 1.0]).evaluate([(0, 1), (1, 0)])
    assert found.losses.tolist() == [math.inf, 1.0]
    assert FunctionEvaluator(lambda patterns: 1 / 0).evaluate([]).tokens.tolist() == [1]
    assert FunctionEvaluator(lambda patterns: [1.0]).evaluate([(0, 1)], []).sums.shape == (1, 0)
