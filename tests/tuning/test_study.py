"""Studies by one process and by many: nothing lost, nothing run twice, none left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
import yaml
from optuna.trial import TrialState
from toy_landscapes import write_toy_landscape

from evop_deap.base.errors import InputError
from evop_deap.settings.config_files import read_settings
from evop_deap.settings.search_config import SearchConfig
from evop_deap.tuning.best_settings import best_trial, study_table, write_best, write_trials
from evop_deap.tuning.objective import Objective
from evop_deap.tuning.problems import landscape_problem
from evop_deap.tuning.settings_space import SettingsSpace
from evop_deap.tuning.study import DESCRIPTION, make_pruner, make_sampler, open_study, run_study
from evop_deap.tuning.study_kinds import PRUNERS, SAMPLERS
from evop_deap.tuning.study_pictures import write_pictures
from evop_deap.tuning.study_storage import open_storage
from evop_deap.tuning.workers import RETRY_OF, WORKER

SPACE = SettingsSpace().offered(())
"""Toy landscapes keep no looks into a model."""


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)


@pytest.fixture(scope="session")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_landscape(tmp_path_factory.mktemp("landscape") / "toy.npz")


class Spied(Objective):
    """Does something with a trial first."""

    def __init__(self, path: Path, first: Callable[[optuna.Trial], object], **more: Any) -> None:
        super().__init__([landscape_problem(path)], **{"max_cost": 4, "seeds": (0,), **more})
        self._first = first

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, ...]:
        self._first(trial)
        return super().__call__(trial)


def run(
    where: Path | str,
    objective: Objective,
    n_trials: int,
    *,
    seed: int | None = None,
    sampler: str = "random",
    **options: Any,
) -> list[optuna.trial.FrozenTrial]:
    with open_storage(str(where)) as (storage, workers):
        study = open_study(
            storage, workers, objective, name="toy", sampler=sampler, seed=seed, **options
        )
        run_study(study, objective, workers, n_trials=n_trials)
        return study.trials


def nothing(trial: optuna.Trial) -> None:
    pass


def by_state(trials: list[optuna.trial.FrozenTrial]) -> dict[str, int]:
    states = [trial.state.name for trial in trials]
    return {state: states.count(state) for state in sorted(set(states))}


STORAGES = ["study.jsonl", "sqlite:///study.db"]


@pytest.fixture(params=STORAGES)
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(request.param)


def test_the_defaults_are_trial_0_and_a_study_is_gone_on_with(where: str, landscape: Path) -> None:
    objective = Spied(landscape, nothing)
    first = run(where, objective, 3, seed=1)
    assert first[0].params == SPACE.defaults
    assert by_state(first) == {"COMPLETE": 3}
    more = run(where, objective, 5, seed=1)
    assert [t.params for t in more[:3]] == [t.params for t in first]
    assert len({tuple(t.params.values()) for t in more}) == 5
    assert len(run(where, objective, 5)) == 5
    assert {path.stem for path in Path.cwd().glob("*.workers/*")} <= {"all"}


def test_the_same_seed_draws_the_same_settings(tmp_path: Path, landscape: Path) -> None:
    objective = Spied(landscape, nothing)
    one, two, other = (
        run(tmp_path / f"{n}.jsonl", objective, 4, seed=seed) for n, seed in enumerate((3, 3, 4))
    )
    assert [(t.params, t.value) for t in one] == [(t.params, t.value) for t in two]
    assert [t.params for t in one[1:]] != [t.params for t in other[1:]]


def test_an_interrupted_trial_is_run_again_by_whoever_goes_on(where: str, landscape: Path) -> None:
    def interrupt(trial: optuna.Trial) -> None:
        if trial.number == 2:
            SPACE.suggest(trial)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(where, Spied(landscape, interrupt), 5)
    trials = run(where, Spied(landscape, nothing), 5)
    assert by_state(trials) == {"COMPLETE": 5, "FAIL": 1}
    (retry,) = (trial for trial in trials if trial.user_attrs.get(RETRY_OF) == 2)
    assert retry.params == trials[2].params


def test_the_table_has_the_defaults_of_a_trial_0_that_was_run_again(
    tmp_path: Path, landscape: Path
) -> None:
    interruptions = iter([True, True])

    def interrupt(trial: optuna.Trial) -> None:
        if next(interruptions, False):
            raise KeyboardInterrupt

    objective = Spied(landscape, interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "study.jsonl", objective, 1)
    trials = run(tmp_path / "study.jsonl", objective, 1)
    assert by_state(trials) == {"COMPLETE": 1, "FAIL": 2}
    with open_storage(str(tmp_path / "study.jsonl")) as (storage, _):
        table = study_table(optuna.load_study(storage=storage, study_name="toy"))
    for line in table.splitlines()[3:]:
        _, best, defaults = line.split()
        assert best == defaults


def test_trials_of_a_worker_that_is_gone_are_found_and_run_again(
    where: str, landscape: Path
) -> None:
    objective = Spied(landscape, nothing)
    run(where, objective, 2)
    with open_storage(where) as (storage, workers):
        assert workers is not None
        study = open_study(storage, workers, objective, name="toy")
        half, unsigned, finished = study.ask(), study.ask(), study.ask()
        for trial in (half, finished):
            trial.set_user_attr(WORKER, "gone")
        params = objective.space.suggest(half)
        study.tell(finished, 0.5)
        assert workers.take_over(study) == [half.number, unsigned.number]
        assert workers.take_over(study) == []
        waiting = [t for t in study.trials if t.state == TrialState.WAITING]
        assert [t.user_attrs[RETRY_OF] for t in waiting] == [half.number, unsigned.number]
    trials = run(where, objective, 6)
    assert by_state(trials) == {"COMPLETE": 6, "FAIL": 2}
    assert objective.space.effective(trials[5].params) == params


def test_trials_of_a_living_worker_are_left_alone(tmp_path: Path, landscape: Path) -> None:
    objective = Spied(landscape, nothing)
    where = str(tmp_path / "study.jsonl")
    with open_storage(where) as (theirs, other), open_storage(where) as (ours, own):
        assert other is not None
        assert own is not None
        study = open_study(theirs, other, objective, name="toy")
        signed, unsigned = study.ask(), study.ask()
        other.sign(signed)
        assert own.take_over(open_study(ours, own, objective, name="toy")) == []
        study.tell(signed, 1.0)
        study.tell(unsigned, 1.0)


def test_what_was_queued_before_a_crash_is_not_queued_twice(
    tmp_path: Path, landscape: Path
) -> None:
    objective = Spied(landscape, nothing)
    with open_storage(str(tmp_path / "study.jsonl")) as (storage, workers):
        assert workers is not None
        study = open_study(storage, workers, objective, name="toy")
        lost = study.ask()
        lost.set_user_attr(WORKER, "gone")
        study.enqueue_trial({}, user_attrs={RETRY_OF: lost.number})
        assert workers.take_over(study) == [lost.number]
        assert len(study.trials) == 2


def test_trials_that_a_database_has_queued_again_count_once(
    tmp_path: Path, landscape: Path
) -> None:
    # RetryHeartbeatStaleTrialCallback notes in the new trial which ones it stands for.
    path, objective = tmp_path / "study.jsonl", Spied(landscape, nothing)
    run(path, objective, 1)
    with open_storage(str(path)) as (storage, workers):
        study = open_study(storage, workers, objective, name="toy")
        study.tell(study.ask(), state=TrialState.FAIL)
        history = {"failed_trial": 1, "retry_history": [1]}
        waiting = optuna.create_trial(state=TrialState.WAITING, system_attrs=history)
        study.add_trial(waiting)
    assert by_state(run(path, objective, 3)) == {"COMPLETE": 3, "FAIL": 1}


def test_a_journal_of_a_relative_name_is_locked_by_a_link_that_leads_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    links: list[str] = []
    symlink = os.symlink

    def noting(target: str, link: str) -> None:
        links.append(target)
        symlink(target, link)

    with open_storage("out/study.jsonl") as (storage, _):
        monkeypatch.setattr(os, "symlink", noting)
        optuna.create_study(storage=storage)
    assert set(links) == {str(tmp_path / "out" / "study.jsonl")}


def _work(where: str, landscape: Path, log: Path, n_trials: int, doomed: bool) -> None:
    """A process of a study: writes down what it runs; a doomed one is killed mid-trial.

    The others leave it its trials: each waits in its second one until that has happened.
    """
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)

    mine: list[int] = []
    killed = log.with_name("killed")

    def note(trial: optuna.Trial) -> None:
        mine.append(trial.number)
        with log.open("a") as file:
            file.write(f"{trial.number}\n")
        if doomed and len(mine) == 2:
            SPACE.suggest(trial)
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        while len(mine) == 2 and not killed.exists():
            time.sleep(0.005)

    run(where, Spied(landscape, note), n_trials)


def test_of_four_processes_one_is_killed_and_nothing_is_lost_or_run_twice(
    tmp_path: Path, landscape: Path
) -> None:
    where, log, count = str(tmp_path / "study.jsonl"), tmp_path / "log", 40
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_work, args=(where, landscape, log, count, n == 0)) for n in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [-signal.SIGKILL, 0, 0, 0]
    with open_storage(where) as (storage, _):
        trials = optuna.load_study(study_name="toy", storage=storage).trials
    assert by_state(trials).keys() == {"COMPLETE", "FAIL"}
    assert by_state(trials)["FAIL"] == 1
    assert count <= by_state(trials)["COMPLETE"] <= count + 2
    (lost,) = (trial for trial in trials if trial.state == TrialState.FAIL)
    (retry,) = (trial for trial in trials if trial.user_attrs.get(RETRY_OF) == lost.number)
    assert (retry.params, retry.state) == (lost.params, TrialState.COMPLETE)
    ran = [int(line) for line in log.read_text().split()]
    assert sorted(ran) == [trial.number for trial in trials]
    assert [t.params for t in trials].count(SPACE.defaults) == 1


def test_a_failure_is_recorded_and_the_study_goes_on(tmp_path: Path, landscape: Path) -> None:
    class Failing(Objective):
        def _one_by_one(self, trial: Any, runs: Any) -> None:
            if trial.number == 1:
                raise RuntimeError("out of\nmemory")
            super()._one_by_one(trial, runs)

    objective = Failing([landscape_problem(landscape)], max_cost=4)
    trials = run(tmp_path / "study.jsonl", objective, 3)
    assert by_state(trials) == {"COMPLETE": 2, "FAIL": 1}
    assert trials[1].user_attrs["failure"] == "RuntimeError out of memory"


def test_where_all_fail_the_study_ends_and_says_why(tmp_path: Path, landscape: Path) -> None:
    class Failing(Objective):
        def _one_by_one(self, trial: Any, runs: Any) -> None:
            raise RuntimeError("no memory")

    objective = Failing([landscape_problem(landscape)], max_cost=4)
    with pytest.raises(InputError, match="first 3 trials failed, the last with: RuntimeError no"):
        run(tmp_path / "study.jsonl", objective, 9)


def test_interrupted_trials_do_not_count_as_failed(tmp_path: Path, landscape: Path) -> None:
    class Interrupted(Objective):
        def _one_by_one(self, trial: Any, runs: Any) -> None:
            if trial.number < 3:
                raise KeyboardInterrupt
            if trial.number == 3:
                raise RuntimeError("no memory")
            super()._one_by_one(trial, runs)

    objective = Interrupted([landscape_problem(landscape)], max_cost=4)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "study.jsonl", objective, 3)
    trials = run(tmp_path / "study.jsonl", objective, 3)
    assert by_state(trials) == {"FAIL": 4, "COMPLETE": 2}


def test_a_study_that_measures_something_else_is_refused(tmp_path: Path, landscape: Path) -> None:
    path = tmp_path / "study.jsonl"
    run(path, Spied(landscape, nothing), 1)
    for changes, says in (
        ({"max_cost": 5}, "another max_cost in this storage: 4, not 5"),
        ({"seeds": (0, 1)}, "has other seeds in this storage"),
        ({"measure": "area"}, "another measure"),
        ({"measure": "regret-cost"}, "another measure"),
        ({"space": SettingsSpace.from_mapping({"racing": "on"})}, "another space"),
    ):
        with pytest.raises(InputError, match=says):
            run(path, Spied(landscape, nothing, **changes), 2)
    with open_storage(str(path)) as (storage, _):
        optuna.create_study(storage=storage, study_name="other").add_trial(
            optuna.create_trial(value=1.0)
        )
        with pytest.raises(InputError, match="`study_name` other has trials of another kind"):
            open_study(storage, None, Spied(landscape, nothing), name="other")


def test_sqlite_is_for_one_process_and_says_why(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    refused = pytest.raises(InputError, match="in use by another process, and SQLite")
    with open_storage(url), refused, open_storage(url):
        pass
    with open_storage(url):
        pass


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("sqlite://", "is lost when the process ends"),
        ("sqlite:///:memory:", "is lost when the process ends"),
        ("nothing://here", "`storage` nothing://here cannot be opened"),
        ("postgresql://me:secret@nowhere.invalid/x", "`storage` postgresql://nowhere.invalid/x"),
        ("postgresql://me:a/secret@nowhere.invalid/x", "postgresql://nowhere.invalid/x"),
        ("postgresql://me:a@secret@nowhere.invalid/x", "postgresql://nowhere.invalid/x"),
        (".", "is a folder: give a file, such as"),
    ],
)
def test_a_storage_that_cannot_be_is_refused_in_one_line(
    where: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=says) as caught, open_storage(where):
        pass
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["hello\n", "{}\n", "[1]\n", '{"op_code": 99}\nx\n'])
def test_a_file_that_is_no_journal_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="is not a journal of Optuna's"), open_storage(str(path)):
        pass
    assert path.read_text() == text


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_go_by_name(sampler: str, tmp_path: Path, landscape: Path) -> None:
    trials = run(tmp_path / "s.jsonl", Spied(landscape, nothing), 3, seed=0, sampler=sampler)
    assert by_state(trials) == {"COMPLETE": 3}
    assert type(make_sampler(sampler, 0)).__name__.lower() == f"{sampler}sampler"


@pytest.mark.parametrize("pruner", PRUNERS)
def test_pruners_go_by_name_and_are_told_what_they_understand(
    pruner: str, tmp_path: Path, landscape: Path
) -> None:
    objective = Spied(landscape, nothing, reports=PRUNERS[pruner], seeds=range(4), measure="area")
    trials = run(tmp_path / "s.jsonl", objective, 12, seed=0, pruner=pruner)
    assert by_state(trials).keys() <= {"COMPLETE", "PRUNED"}
    assert isinstance(make_pruner(pruner, 9), optuna.pruners.BasePruner)
    assert bool(trials[0].intermediate_values) == (pruner != "none")


@pytest.fixture(scope="module", params=["regret", "regret-cost"])
def study(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, landscape: Path
) -> optuna.Study:
    objective = Spied(landscape, nothing, measure=request.param)
    with open_storage(str(tmp_path_factory.mktemp("study") / "study.jsonl")) as (storage, workers):
        study = open_study(storage, workers, objective, name="toy", sampler="random", seed=0)
        run_study(study, objective, workers, n_trials=8)
        return study


def test_the_best_settings_are_a_configuration_file_of_the_search(
    study: optuna.Study, tmp_path: Path
) -> None:
    write_best(tmp_path / "best.yaml", study, SPACE)
    read = read_settings(tmp_path / "best.yaml")
    config = SearchConfig(model="demo", sparsity=0.2, **read)
    best = best_trial(study)
    assert best.values[0] == min(trial.values[0] for trial in study.trials)
    assert (config.generations, config.max_cost) == (None, 4)
    effective = SPACE.effective(best.params)
    assert effective.items() <= config.as_dict().items()
    assert (tmp_path / "best.yaml").read_text().startswith(f"# Trial {best.number} of the study")


def test_the_name_of_a_study_stays_on_the_first_line_of_its_settings(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="a\nmax_cost: 3")
    study.set_user_attr(DESCRIPTION, {"max_cost": 4})
    study.add_trial(optuna.create_trial(value=1.0))
    write_best(tmp_path / "best.yaml", study, SPACE)
    assert (tmp_path / "best.yaml").read_text().startswith("# Trial 0 of the study a max_cost: 3:")
    assert read_settings(tmp_path / "best.yaml")["max_cost"] == 4


def test_all_trials_are_written_in_short(study: optuna.Study, tmp_path: Path) -> None:
    write_trials(tmp_path / "trials.json", study)
    found = yaml.safe_load((tmp_path / "trials.json").read_text())
    assert [row["number"] for row in found["trials"]] == list(range(8))
    assert found["max_cost"] == 4
    assert found["trials"][3]["params"] == study.trials[3].params
    assert found["trials"][3]["values"] == study.trials[3].values


def test_a_study_without_a_completed_trial_has_no_best(tmp_path: Path) -> None:
    empty = optuna.create_study(study_name="empty")
    with pytest.raises(InputError, match="`study_name` empty has no completed trial yet"):
        write_best(tmp_path / "best.yaml", empty, SPACE)
    assert not (tmp_path / "best.yaml").exists()
    assert write_pictures(tmp_path, empty) == []


def test_pictures_are_drawn_twice_and_need_no_network(study: optuna.Study, tmp_path: Path) -> None:
    written = write_pictures(tmp_path, study)
    last = "history" if len(study.directions) == 1 else "pareto_front"
    names = ["importance", "parallel_coordinate", last]
    assert {path.name for path in written} == {
        "plotly.min.js",
        *(f"{name}.{kind}" for name in names for kind in ("html", "png")),
    }
    for name in names:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        html = (tmp_path / f"{name}.html").read_text()
        assert 'src="plotly.min.js"' in html
        assert "https://cdn" not in html


def test_the_dashboard_opens_a_study(tmp_path: Path, landscape: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    path = tmp_path / "study.jsonl"
    run(path, Spied(landscape, nothing), 2)
    with open_storage(str(path)) as (storage, _):
        answer: list[str] = []
        environment: dict[str, Any] = {"PATH_INFO": "/api/studies"}
        setup_testing_defaults(environment)
        application = dashboard.wsgi(storage)
        body = b"".join(application(environment, lambda status, *rest: answer.append(status)))
    assert answer == ["200 OK"]
    assert b'"toy"' in body
