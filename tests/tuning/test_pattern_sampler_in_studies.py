"""The sampler beside Optuna's pruners, constraints and processes."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.pruners import HyperbandPruner
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial, create_trial

from evop_deap.tuning.pattern_sampler import PatternSampler, suggest_pattern

NAMES = [f"unit {i}" for i in range(12)]
STAY = [1, 4, 9]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def patterns(study: optuna.Study) -> list[tuple[int, ...]]:
    return [tuple(trial.params[name] for name in NAMES) for trial in study.trials]


def gain(keep: Sequence[int]) -> float:
    """Lower without the units that must stay."""
    return float(sum(keep[unit] for unit in STAY)) + 0.1 * sum(i * k for i, k in enumerate(keep))


def objective(trial: optuna.Trial) -> float:
    return gain(suggest_pattern(trial, NAMES))


def violations(keep: Sequence[int]) -> list[float]:
    return [1.0 - keep[unit] for unit in STAY]


def infeasible(study: optuna.Study) -> int:
    return sum(any(violation > 0 for violation in violations(p)) for p in patterns(study))


def test_under_hyperband_no_pattern_is_proposed_twice() -> None:
    def in_steps(trial: optuna.Trial) -> float:
        value = objective(trial)
        for step in range(1, 10):
            trial.report(value / step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    sampler = PatternSampler(NAMES, 3, population=2, seed=0)
    pruner = HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.optimize(in_steps, n_trials=150)
    assert len(set(patterns(study))) == 150
    assert {trial.state.name for trial in study.trials} == {"COMPLETE", "PRUNED"}


@pytest.mark.parametrize("way", ["set_constraint", "constraints_func"])
def test_feasible_trials_are_bred_from_first(way: str) -> None:
    def constrained(trial: optuna.Trial) -> float:
        keep = suggest_pattern(trial, NAMES)
        if way == "set_constraint":
            for unit, violation in zip(STAY, violations(keep), strict=True):
                trial.set_constraint(NAMES[unit], violation)
        return gain(keep)

    def func(trial: FrozenTrial) -> list[float]:
        return violations([trial.params[name] for name in NAMES])

    shares = []
    for seed in range(3):
        other = NSGAIISampler(seed=seed, constraints_func=func) if way != "set_constraint" else None
        study = optuna.create_study(sampler=PatternSampler(NAMES, 4, seed=seed, other=other))
        study.optimize(constrained, n_trials=50)
        assert not infeasible_best(study)
        shares.append(infeasible(study) / 50)
    # Chance drops one of the three in 85 % of patterns, and they are the ones worth dropping.
    assert sum(shares) / 3 < 0.65


def infeasible_best(study: optuna.Study) -> bool:
    return any(value > 0 for value in study.best_trial.constraints.values())


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_infeasible_parents_are_ranked_by_their_total_violation(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    sampler = PatternSampler(NAMES, 4, population=1, more_swaps=0, seed=0)
    study = optuna.create_study(sampler=sampler, direction=direction)
    # The second violates least, though it has the worst value.
    for dropped, value, violated in [
        ({0, 1, 2, 3}, 1.0, [0.5, 0.5]),
        ({4, 5, 6, 7}, 9.0, [0.4, -3.0]),
        ({8, 9, 10, 11}, 0.1, [math.inf]),
        ({0, 4, 8, 11}, 0.5, [2.0, -3.0]),
    ]:
        study.add_trial(
            create_trial(
                value=sign * value,
                params={name: int(i not in dropped) for i, name in enumerate(NAMES)},
                distributions={name: IntDistribution(0, 1) for name in NAMES},
                constraints={str(i): v for i, v in enumerate(violated)},
            )
        )
    study.optimize(lambda trial: 0.0 * sum(suggest_pattern(trial, NAMES)), n_trials=1)
    child = patterns(study)[-1]
    assert sum(1 - child[unit] for unit in (4, 5, 6, 7)) == 3  # a swap away


def test_a_study_with_its_sampler_goes_on_from_a_pickle_as_if_it_had_not_been_one() -> None:
    sampler = PatternSampler(NAMES, 3, seed=5)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=20)
    copy = pickle.loads(pickle.dumps(study))
    study.optimize(objective, n_trials=20)
    copy.optimize(objective, n_trials=20)
    assert patterns(copy) == patterns(study)
    copy.sampler.reseed_rng()
    copy.optimize(objective, n_trials=10)
    study.optimize(objective, n_trials=10)
    assert patterns(copy) != patterns(study)
