"""The command line of tuning, on landscapes and on a model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from toy_landscapes import write_toy_landscape

from evop_deap import search
from evop_deap.base.errors import InputError
from evop_deap.settings.presets import preset_names, preset_settings
from evop_deap.settings.search_config import SearchConfig
from evop_deap.tune import _advice, main
from evop_deap.tuning.best_settings import study_table
from evop_deap.tuning.settings_space import RANGES, SettingsSpace
from evop_deap.tuning.tuning_options import TuningOptions


@pytest.fixture(scope="module")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_landscape(tmp_path_factory.mktemp("landscape") / "toy.npz", drops=(2, 3))


@pytest.fixture
def good(landscape: Path, tmp_path: Path) -> list[str]:
    """A command that works; tests add what spoils it."""
    return [
        "--landscape", str(landscape), "--output", str(tmp_path / "out"), "--n-trials", "3",
        "--seeds", "2", "--max-cost", "6", "--seed", "0", "--quiet", "--no-pictures",
    ]  # fmt: skip


def trials(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "trials.json").read_text())["trials"]
    return found


def test_long_settings_stand_in_columns_of_their_own() -> None:
    study = optuna.create_study()
    names = optuna.distributions.CategoricalDistribution(["one rule and another", "one rule"])
    for name, value in (("one rule and another", 2.0), ("one rule", 1.0)):
        trial = optuna.trial.create_trial(
            value=value, params={"init": name}, distributions={"init": names}
        )
        study.add_trial(trial)
    *_, row = study_table(study).splitlines()
    assert row.split("  ")[-1].strip() == "one rule and another"
    assert " one rule  " in row


def test_a_study_of_a_landscape_leaves_settings_for_the_search(
    good: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(good) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "is the best of 3 (3 complete)" in out
    for name in ("area", "population", "racing", "defaults", "best.yaml"):
        assert name in out
    best = yaml.safe_load((tmp_path / "out" / "best.yaml").read_text())
    assert best.keys() == {*RANGES, "generations", "max_cost"}
    # A toy landscape keeps no look into a model: what a search begins with is no choice.
    defaults = {n: value for n, value in SettingsSpace().defaults.items() if n != "init"}
    assert trials(tmp_path / "out")[0]["params"] == defaults
    assert not list((tmp_path / "out").glob("*.png"))


def test_the_same_command_goes_on_until_there_are_as_many_trials(
    good: list[str], tmp_path: Path
) -> None:
    main(good)
    before = trials(tmp_path / "out")
    assert main([*good, "--n-trials", "5"]) == 0
    after = trials(tmp_path / "out")
    assert (len(before), len(after)) == (3, 5)
    assert after[:3] == before
    assert main([*good, "--n-trials", "5"]) == 0
    assert trials(tmp_path / "out") == after


def test_every_trial_is_told_of_on_stderr(
    good: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word for word in good if word != "--quiet"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["trial 0", "trial 1", "trial 2"]
    assert all(0 < float(line.split(": area ")[1]) <= 1 for line in lines)


@pytest.mark.parametrize(
    "more",
    [
        ["--objective", "regret"],
        ["--objective", "evaluations", "--epsilon", "0.1"],
        ["--objective", "regret-cost"],
        ["--pruner", "wilcoxon"],
        ["--pruner", "hyperband", "--sampler", "random"],
        ["--drop", "2", "3"],
        ["--timeout", "0.001"],
    ],
)
def test_the_other_ways_to_judge_work_too(more: list[str], good: list[str], tmp_path: Path) -> None:
    assert main([*good, *more]) == 0
    rows = trials(tmp_path / "out")
    assert len(rows) == (1 if "--timeout" in more else 3)
    assert len(rows[0]["regrets"]) == (4 if "--drop" in more else 2)


def test_a_pruner_needs_one_value(good: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*good, "--objective", "regret-cost", "--pruner", "wilcoxon"]) == 2
    assert "`pruner` wilcoxon cannot stop trials of two values" in capsys.readouterr().err


def test_a_space_file_narrows_what_is_tried(good: list[str], tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("population: {low: 3, high: 5}\nracing: off\n")
    assert main([*good, "--space", str(tmp_path / "space.yaml")]) == 0
    rows = trials(tmp_path / "out")
    assert all(3 <= row["params"]["population"] <= 5 for row in rows)
    assert all("racing" not in row["params"] for row in rows)
    assert yaml.safe_load((tmp_path / "out" / "best.yaml").read_text())["racing"] == "off"


def test_pictures_are_drawn_unless_told_otherwise(good: list[str], tmp_path: Path) -> None:
    assert main([word for word in good if word != "--no-pictures"]) == 0
    for name in ("importance", "parallel_coordinate", "history"):
        assert (tmp_path / "out" / f"{name}.png").exists()
        assert (tmp_path / "out" / f"{name}.html").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--landscape", "nowhere.npz"], "`landscape` nowhere.npz cannot be read"),
        (["--drop", "7"], "`drop` must be one of 2, 3"),
        (["--model", "demo"], "`landscape` or `model` is required: give either of them"),
        (["--sparsity", "0.5"], "`sparsity` does not apply to a landscape"),
        (["--n-trials", "0"], "`n_trials` must be at least 1, but got 0"),
        (["--seeds", "0"], "`seeds` must be at least 1, but got 0"),
        (["--timeout", "0"], "`timeout` must be above 0, but got 0.0"),
        (["--timeout", "nan"], "`timeout` must be above 0, but got nan"),
        (["--max-cost", "-1"], "`max_cost` must be above 0 and finite, but got -1.0"),
        (["--max-cost", "inf"], "`max_cost` must be above 0 and finite, but got inf"),
        (["--epsilon", "2"], "`epsilon` must be at least 0 and below 1, but got 2.0"),
        (["--space", "nowhere.yaml"], "`space` nowhere.yaml cannot be read"),
        (["--objective", "best"], "invalid choice: 'best'"),
        (["--sampler", "best"], "invalid choice: 'best'"),
        (["--pruner", "best"], "invalid choice: 'best'"),
        (["--storage", "sqlite://"], "is lost when the process ends"),
        (["--storage", "nothing://here"], "`storage` nothing://here cannot be opened"),
        (["--population", "3"], "unrecognized arguments: --population 3"),
    ],
)
def test_bad_input_ends_in_one_line_and_nothing_is_written(
    more: list[str],
    says: str,
    good: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main([*good, *more])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1, err
    assert says in err
    assert list(tmp_path.iterdir()) == []


def test_without_anything_to_tune_on_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--output", str(tmp_path / "out")]) == 2
    assert "`landscape` or `model` is required" in capsys.readouterr().err
    assert main(["--output", str(tmp_path / "out"), "--model", "demo"]) == 2
    assert "one of `sparsity` and `budget` must be given" in capsys.readouterr().err
    more = ["--model", "demo", "--sparsity", "0.2", "--drop", "2"]
    assert main(["--output", str(tmp_path / "out"), *more]) == 2
    assert "`drop` is for a landscape" in capsys.readouterr().err


def test_a_study_with_other_budgets_is_not_gone_on_with(
    good: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(good)
    assert main([*good, "--max-cost", "7"]) == 2
    err = capsys.readouterr().err
    assert "`study_name` evop has another max_cost in this storage: 6.0, not 7.0" in err
    assert main([*good, "--max-cost", "7", "--study-name", "longer"]) == 0


def test_tuning_on_a_landscape_needs_no_torch(good: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        f"from evop_deap.tune import main; sys.exit(main({good!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(trials(tmp_path / "out")) == 3


def test_help_answers_without_loading_anything_heavy() -> None:
    code = (
        "import sys; from evop_deap.tune import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'optuna', 'deap', 'numpy', 'plotly', 'sqlalchemy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in ("examples:", "--landscape", "--n-trials", "--sparsity", "optuna-dashboard"):
        assert words in done.stdout
    assert "--racing" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_study_says_how_it_goes_on_and_does(
    number: signal.Signals, code: int, good: list[str], tmp_path: Path
) -> None:
    command = [word for word in good if word != "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "evop_deap.tune", *command, "--n-trials", "100000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("trial 0")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert "interrupted; the same command continues the study in" in err
    journal = (tmp_path / "out" / "study.jsonl").read_text().splitlines()
    done = sum('"op_code":4' in line for line in journal)
    assert main([*good, "--n-trials", str(done + 2)]) == 0
    states = [row["state"] for row in trials(tmp_path / "out")]
    assert states.count("COMPLETE") >= done + 2
    assert set(states) <= {"COMPLETE", "FAIL"}


def test_an_interrupted_study_keeps_the_password_of_its_storage() -> None:
    options = TuningOptions(output="out", storage="postgresql://me:a/secret@host/studies")
    assert _advice(options).endswith(" in postgresql://host/studies")
    options = TuningOptions(output="out", storage="mysql://host:1/studies?user=me&password=a@b")
    assert _advice(options).endswith(" in 'mysql://host:1/studies?user=...&password=...'")
    assert _advice(TuningOptions(output="a b")).endswith(" in 'a b/study.jsonl'")


def test_trials_on_a_model_share_what_was_paid_for_and_their_best_is_searched_with(
    toy_checkpoint: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "texts.jsonl"
    rows = [{"text": f"Text {i} is about the number {i * i}. " * 4} for i in range(30)]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    problem = [
        "--model", str(toy_checkpoint), "--sparsity", "0.4", "--corpus", str(corpus),
        "--window", "16", "--tokens", "64", "--heldout-tokens", "64", "--quiet",
    ]  # fmt: skip
    study = ["--n-trials", "3", "--seeds", "2", "--max-cost", "4", "--no-pictures", "--seed", "0"]
    assert main([*problem, *study, "--output", str(tmp_path / "tuned")]) == 0
    rows = trials(tmp_path / "tuned")
    assert [row["state"] for row in rows] == ["COMPLETE"] * 3
    assert rows[-1]["cache_hits"] > 0
    assert all(row["cost"] > 0 for row in rows)
    best = str(tmp_path / "tuned" / "best.yaml")
    found = ["--config", best, "--output", str(tmp_path / "run")]
    assert search.main([*problem, *found]) == 0
    used = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert yaml.safe_load(Path(best).read_text()).items() <= used.items()


def test_evaluations_to_an_optimum_cannot_be_asked_of_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--model", "demo", "--sparsity", "0.4", "--objective", "evaluations"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 2
    assert "`objective` evaluations needs a known optimum" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_presets_are_settings_of_the_evolution_and_the_default_one_changes_nothing() -> None:
    assert "default" in preset_names()
    for name in preset_names():
        assert preset_settings(name).keys() - {"generations", "max_evaluations"} == RANGES.keys()
        SearchConfig(model="demo", sparsity=0.2, **preset_settings(name))
    space = SettingsSpace()
    assert preset_settings("default") == space.effective(space.defaults)
    with pytest.raises(InputError, match="`preset` must be default.*, but got 'best'"):
        preset_settings("best")


def test_an_unknown_preset_is_refused_by_the_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--model", "demo", "--sparsity", "0.2", "--output", str(tmp_path / "run")]
    assert search.main([*command, "--preset", "best"]) == 2
    assert "`preset` must be default" in capsys.readouterr().err
