"""The search as an Optuna sampler: fixed-size subsets, bred from the study's own trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from evop_deap.base.errors import InputError
from evop_deap.tuning.pattern_sampler import PatternSampler, suggest_pattern

NAMES = [f"unit {i}" for i in range(10)]
BEST = {2, 5, 7}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class TestConformance(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """Optuna's own suite: parameters that are no units are the other sampler's affair."""

    @pytest.fixture(params=["random", "tpe"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        others: dict[str, Callable[[], BaseSampler | None]] = {
            "random": lambda: None,
            "tpe": lambda: TPESampler(n_startup_trials=0, seed=0),
        }
        return lambda: PatternSampler(NAMES, 3, seed=0, other=others[request.param]())


@pytest.mark.parametrize(
    ("names", "n_drop", "message"),
    [
        (["a", "a", "b"], 1, "`names` must be different, but got 'a' 2 times"),
        ("abc", 1, "`names` must be a list of names, but got 'abc'"),
        ([], 1, "`names` must hold at least two units, but got 0"),
        (["a"], 1, "`names` must hold at least two units, but got 1"),
        (["a", "b"], True, "`n_drop` must be a whole number from 1 to 1, but got True"),
        (["a", "b", "c"], 2.0, r"`n_drop` must be a whole number from 1 to 2, but got 2\.0"),
        (["a", "b", "c"], 3, "`n_drop` must be between 1 and 2 of 3 units, but got 3"),
    ],
)
def test_names_and_a_number_that_no_pattern_can_keep_are_refused(
    names: Any, n_drop: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        PatternSampler(names, n_drop)


def distance(keep: Sequence[int]) -> float:
    return float(len(BEST - {i for i, kept in enumerate(keep) if not kept}))


def objective(trial: optuna.Trial) -> float:
    return distance(suggest_pattern(trial, NAMES))


def patterns(study: optuna.Study) -> list[tuple[int, ...]]:
    return [tuple(trial.params[name] for name in NAMES) for trial in study.trials]


@settings(max_examples=20)
@given(
    units=st.integers(2, 9),
    share=st.floats(0.01, 0.99),
    population=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_every_trial_drops_as_many_and_none_is_proposed_twice_while_there_is_another(
    units: int, share: float, population: int, seed: int
) -> None:
    names = [str(i) for i in range(units)]
    n_drop = min(max(1, round(share * units)), units - 1)
    study = optuna.create_study(
        sampler=PatternSampler(names, n_drop, population=population, seed=seed)
    )
    study.optimize(lambda t: sum(i * k for i, k in enumerate(suggest_pattern(t, names))), 12)
    found = [tuple(trial.params[name] for name in names) for trial in study.trials]
    assert {pattern.count(0) for pattern in found} == {n_drop}
    assert len(set(found)) == min(12, math.comb(units, n_drop))


@pytest.mark.parametrize(
    "names",
    [
        ["encoder.0", "encoder.1", "decoder.0", "decoder.1", "decoder.2"],
        ["0", "0.attn", "0.mlp", "1.attn", "1.mlp"],
    ],
)
def test_names_with_dots_are_names_like_others(names: list[str]) -> None:
    study = optuna.create_study(sampler=PatternSampler(names, n_drop=2, seed=0))
    study.optimize(lambda trial: suggest_pattern(trial, names).count(0), n_trials=60)

    assert {trial.value for trial in study.trials} == {2}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_it_finds_the_best_subset_in_either_direction_in_fewer_trials_than_chance(
    direction: str,
) -> None:
    sign = 1 if direction == "minimize" else -1
    needed = []
    for seed in range(5):
        sampler = PatternSampler(NAMES, 3, seed=seed)
        study = optuna.create_study(sampler=sampler, direction=direction)
        study.optimize(lambda trial: sign * objective(trial), n_trials=90)
        needed.append(next(t.number for t in study.trials if t.value == 0))
    assert sum(needed) / 5 < 45  # of 120 patterns, chance needs 60


def test_the_same_seed_proposes_the_same_and_a_new_one_something_else() -> None:
    def run(seed: int, *, reseed: bool = False) -> list[tuple[int, ...]]:
        sampler = PatternSampler(NAMES, 3, seed=seed)
        if reseed:
            sampler.reseed_rng()
        study = optuna.create_study(sampler=sampler)
        study.optimize(objective, n_trials=20)
        return patterns(study)

    assert run(1) == run(1) != run(2)
    assert run(1) != run(1, reseed=True)


def test_a_pattern_that_is_enqueued_is_run_as_it_is_and_bred_from() -> None:
    study = optuna.create_study(sampler=PatternSampler(NAMES, 3, population=1, more_swaps=0))
    keep = {name: int(i not in BEST) for i, name in enumerate(NAMES)}
    study.enqueue_trial(keep)
    study.optimize(objective, n_trials=12)
    assert study.trials[0].params == keep
    assert study.best_trial.number == 0
    # One parent, and that the best: each child is a swap away.
    assert {trial.value for trial in study.trials[1:]} == {1}


@settings(max_examples=30)
@given(fixed=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 1)), seed=st.integers(0, 99))
def test_what_is_enqueued_in_part_is_filled_up_to_the_number(
    fixed: dict[str, int], seed: int
) -> None:
    study = optuna.create_study(sampler=PatternSampler(NAMES, 3, seed=seed))
    study.enqueue_trial(fixed)
    study.optimize(objective, n_trials=1)
    (pattern,) = patterns(study)
    assert fixed.items() <= study.trials[0].params.items()
    dropped = sum(not gene for gene in fixed.values())
    free = len(NAMES) - len(fixed)
    assert pattern.count(0) == min(max(3, dropped), dropped + free)


def test_ask_and_tell_know_what_others_are_at() -> None:
    study = optuna.create_study(sampler=PatternSampler(NAMES, 3, seed=0))
    trials = [study.ask() for _ in range(15)]
    for trial in trials:
        suggest_pattern(trial, NAMES)
    assert len(set(patterns(study))) == 15
    for trial in trials:
        study.tell(trial, distance([trial.params[name] for name in NAMES]))
    assert study.best_value == min(trial.value for trial in study.trials)


def test_patterns_of_another_size_are_no_parents_and_do_no_harm() -> None:
    study = optuna.create_study(sampler=PatternSampler(NAMES, 3, population=2, seed=0))
    for count in (0, 1, 9, 10):
        study.enqueue_trial({name: int(i >= count) for i, name in enumerate(NAMES)})
    study.enqueue_trial({**dict.fromkeys(NAMES, 1), NAMES[0]: 0, "else": 3})
    study.optimize(objective, n_trials=30)
    assert {pattern.count(0) for pattern in patterns(study)[5:]} == {3}


def test_failed_and_pruned_trials_are_not_bred_from() -> None:
    def fails(trial: optuna.Trial) -> float:
        if (keep := suggest_pattern(trial, NAMES))[0] == 0:
            raise optuna.TrialPruned
        return float("nan") if keep[1] == 0 else distance(keep)

    study = optuna.create_study(sampler=PatternSampler(NAMES, 3, seed=0))
    study.optimize(fails, n_trials=40)
    assert len(set(patterns(study))) == 40
    assert {trial.state.name for trial in study.trials} == {"COMPLETE", "PRUNED", "FAIL"}
    assert study.best_value == 0


def test_other_parameters_go_beside() -> None:
    study = optuna.create_study(sampler=PatternSampler(NAMES, 3, seed=0))
    study.optimize(lambda t: objective(t) + t.suggest_float("x", 0, 1), n_trials=15)
    assert all(0 <= trial.params["x"] <= 1 for trial in study.trials)
    assert {pattern.count(0) for pattern in patterns(study)} == {3}


def test_several_workers_and_a_later_one_breed_from_each_others_trials(tmp_path: Path) -> None:
    path = str(tmp_path / "study.jsonl")

    def worker(seed: int) -> optuna.Study:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(path)),
            study_name="shared",
            sampler=PatternSampler(NAMES, 3, seed=seed),
            load_if_exists=True,
        )

    first, second = worker(0), worker(1)
    for _ in range(15):
        first.optimize(objective, n_trials=1)
        second.optimize(objective, n_trials=1)
    later = worker(2)
    later.optimize(objective, n_trials=30)
    assert len(set(patterns(later))) == 60
    assert later.best_value == 0


def test_threads_share_a_sampler() -> None:
    study = optuna.create_study(sampler=PatternSampler(NAMES, 3, seed=0))
    study.optimize(objective, n_trials=30, n_jobs=3)
    assert {pattern.count(0) for pattern in patterns(study)} == {3}


@pytest.mark.parametrize("n_drop", [0, 10, -1])
def test_nothing_to_choose_is_refused(n_drop: int) -> None:
    with pytest.raises(InputError, match="`n_drop` must be between 1 and 9"):
        PatternSampler(NAMES, n_drop)


def test_the_package_for_optunahub_has_its_layout_and_loads() -> None:
    folder = Path(__file__).parents[2] / "benchmarks" / "optunahub"
    package = folder / "package" / "samplers" / "pattern_evolution"
    assert {"README.md", "__init__.py", "LICENSE", "example.py"} <= {
        path.name for path in package.iterdir()
    }
    readme = (package / "README.md").read_text(encoding="utf-8")
    for part in ("author:", "title:", "description:", "tags:", "optuna_versions:", "license:"):
        assert part in readme.split("---")[1]
    for section in ("## Abstract", "## APIs", "## Installation", "## Example"):
        assert section in readme
    optunahub = pytest.importorskip("optunahub")
    module = optunahub.load_local_module(
        "samplers/pattern_evolution", registry_root=str(folder / "package")
    )
    assert module.PatternSampler is PatternSampler
