"""What a run has written is replaced by no other command, and nothing else is taken for a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from evop_deap.apply import main as apply
from evop_deap.base.errors import InputError
from evop_deap.calibrate import main as calibrate
from evop_deap.evaluate import main as evaluate
from evop_deap.export import main as export
from evop_deap.heal import main as heal
from evop_deap.report import main as report
from evop_deap.runs.files_of_runs import check_outside_runs
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.search import main as search
from evop_deap.tune import main as tune

Main = Callable[[Sequence[str]], int]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": "m", "sparsity": 0.4}))
    (folder / "result.json").write_text('{"n_blocks": 5, "dropped": ["1"]}')
    (folder / "model/config.json").write_text("{}")
    return folder


def said(main: Main, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (report, ["{run}", "--output", "{run}/calibration.json"]),
        (evaluate, ["m", "--json", "{run}/result.json"]),
        (export, ["{run}", "--format", "prune-layers", "--output", "{run}/result.json",
                  "--overwrite"]),
        (apply, ["--model", "m", "--pattern", "1", "--output", "{run}/model", "--overwrite"]),
    ],
)  # fmt: skip
def test_a_file_of_a_run_is_not_replaced(
    main: Main, words: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    line = said(main, [word.format(run=run) for word in words], capsys)
    assert f"is a file of the search in {run}: choose another path" in line
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_page_replaces_that_of_the_run_that_it_is_about_alone(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(run, run.with_name("other"))
    page = other / "report.html"
    for runs in ([run], [run, other]):
        line = said(report, [*map(str, runs), "--output", str(page)], capsys)
        assert f"`output` {page} is a file of the search in {other}" in line
    # Its own page is refused by what the run lacks, and not by its place.
    line = said(report, [str(other), "--output", str(page)], capsys)
    assert "is a file of" not in line
    assert not page.exists()


@pytest.mark.parametrize("inner", ["model/page.html", "tracking/a/page.html", "link/page.html"])
def test_nothing_is_written_into_a_folder_of_a_run(
    inner: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "link").symlink_to(run / "model")
    for main, words in ((report, [str(run), "--output"]), (evaluate, ["m", "--json"])):
        line = said(main, [*words, str(run / inner)], capsys)
        folder = run / inner.split("/")[0].replace("link", "model")
        assert f"lies in {folder}, a folder of the search in {run}" in line
    assert not (run / inner).exists()


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (search, ["--model", "m", "--sparsity", "0.2"]),
        (calibrate, ["--model", "m"]),
        (heal, ["m"]),
        (tune, ["--landscape", "l.npz", "--drop", "2", "--n-trials", "1"]),
        (apply, ["--model", "m", "--pattern", "1"]),
        (export, ["{run}"]),
    ],
)
def test_no_output_lies_in_a_folder_of_a_run(
    main: Main, words: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run / "model" / "mine"
    line = said(main, [*(word.format(run=run) for word in words), "--output", str(output)], capsys)
    assert f"`output` {output} lies in {run / 'model'}, a folder of the search in {run}" in line
    assert not output.exists()


@pytest.mark.parametrize("name", ["healing.json", "report.html", "model"])
@pytest.mark.parametrize("kept", ["healing.json", "work/settings.json"])
def test_a_file_of_a_training_is_not_replaced(
    name: str, kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_outside_runs(tmp_path / name, "json")
    (tmp_path / kept).parent.mkdir(exist_ok=True)
    (tmp_path / kept).write_text("{}")
    line = said(evaluate, ["m", "--json", str(tmp_path / name)], capsys)
    assert f"is a file of the training in {tmp_path}: choose another path" in line
    check_outside_runs(tmp_path / "evaluation.json", "json")


def test_other_files_beside_a_run_may_be_written(run: Path) -> None:
    check_outside_runs(run / "evaluation.json", "json")
    check_outside_runs(run / "report.html", "output", but=["report.html"])
    check_outside_runs(run.parent / "result.json", "json")
    with pytest.raises(InputError, match="`output`"):
        check_outside_runs(run / "report.html", "output")


def test_settings_of_another_program_make_no_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("name: mine\n")
    check_outside_runs(tmp_path / "model", "output")
    assert not RunFolder(tmp_path).has_settings


@pytest.mark.parametrize("kind", ["search", "training"])
def test_a_study_does_not_go_into_the_folder_of_another_command(
    kind: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "training":
        (run / "config.yaml").rename(run / "healing.json")
    words = ["--landscape", "one.npz", "--n-trials", "1", "--output", str(run)]
    assert f"`output` {run} is the folder of a {kind}" in said(tune, words, capsys)
    assert not (run / "study.jsonl").exists()


def test_a_folder_that_is_no_run_is_not_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path / "typo", tmp_path):
        line = said(search, ["--resume", "--output", str(folder)], capsys)
        assert f"`resume`: {folder} holds no run to continue" in line
    (tmp_path / "notes.txt").write_text("")
    words = ["--model", "m", "--sparsity", "0.2", "--output", str(tmp_path)]
    line = said(search, words, capsys)
    assert line.endswith("already holds notes.txt: choose another folder")


def test_the_folder_of_a_run_is_not_its_checkpoint(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = said(evaluate, [str(run), "--quiet"], capsys)
    assert line.endswith(f"{run} has no config.json: give {run / 'model'}")


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        ("perplexity", "--window 64"),
        ("perplexity", "--max-windows 64"),
        ("perplexity", "--no-prefix"),
        ("tasks", "--limit 3"),
        ("tasks", "--tasks-from x"),
        ("speed", "--batches 2"),
        ("speed", "--repeats 2"),
        ("degeneracy", "--prompts 4"),
    ],
)
def test_a_setting_of_a_measurement_that_is_not_asked_for_is_refused(
    kind: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["m", *flag.split(), "--arithmetic", "4"]
    name = flag.split()[0].removeprefix("--").removeprefix("no-").replace("-", "_")
    assert f"`{name}` is for {kind}: give `{kind}` as well" in said(evaluate, words, capsys)
