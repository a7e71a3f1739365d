"""No command writes into the model that it reads."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from evop_deap.apply import main as apply
from evop_deap.evaluate import main as evaluate
from evop_deap.export import main as export
from evop_deap.heal import main as heal
from evop_deap.runs.folders_of_models import check_outside_models
from evop_deap.search import main as search

Main = Callable[[Sequence[str]], int]


@pytest.fixture
def dense(toy_checkpoint: Path, tmp_path: Path) -> Path:
    """A dense model below a folder that looks like a checkpoint as well."""
    folder = tmp_path / "above" / "dense"
    shutil.copytree(toy_checkpoint, folder)
    (folder.parent / "config.json").write_text("{}")
    (tmp_path / "link").symlink_to(folder)
    return folder


def refused(main: Main, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line


PLACES = {
    "above/dense": "is the model",
    "link": "is the model",
    "above": "holds the model",
    "above/dense/config.json": "is a file of the model",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_checkpoint_is_not_written_over_the_model_that_it_is_made_of(
    place: str, dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump({"model": str(dense), "sparsity": 0.2}))
    (run / "result.json").write_text('{"n_blocks": 5, "dropped": ["1"]}')
    before = {path: path.read_bytes() for path in dense.rglob("*") if path.is_file()}
    output = ["--output", str(tmp_path / place), "--overwrite"]
    for main, words in (
        (apply, ["--model", str(dense), "--pattern", "1", *output]),
        (apply, ["--model", "m", "--export-from", str(dense), "--pattern", "1", *output]),
        (export, [str(run), *output]),
        (export, [str(run), "--export-from", str(dense), *output]),
        (search, ["--model", str(dense), "--sparsity", "0.2", *output]),
        (search, ["--model", "m", "--export-from", str(dense), "--sparsity", "0.2", *output]),
    ):
        line = refused(main, words, capsys)
        assert f"`output` {tmp_path / place} {PLACES[place]} {dense}" in line, line
    assert {path: path.read_bytes() for path in dense.rglob("*") if path.is_file()} == before


def test_a_training_is_not_written_over_the_model_that_it_begins_with(
    dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    healed = tmp_path / "healed"
    shutil.copytree(dense, healed / "model")
    (healed / "healing.json").write_text("{}")
    words = ["--base", str(dense), "--corpus", "demo", "--overwrite", "--output"]
    line = refused(heal, [str(healed / "model"), *words, str(healed)], capsys)
    assert f"holds the model {healed / 'model'}" in line
    before = (dense / "config.json").read_bytes()
    refused(heal, [str(tmp_path / "link"), *words, str(dense / "config.json")], capsys)
    assert (dense / "config.json").read_bytes() == before


def test_figures_are_not_written_over_a_file_of_a_model(
    dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (dense / "config.json").read_bytes()
    for words in ([str(dense)], ["m", "--against", str(dense)]):
        line = refused(evaluate, [*words, "--json", str(tmp_path / "link/config.json")], capsys)
        assert f"is a file of the model {dense}" in line
    assert (dense / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    "target", ["text.txt", "texts/a.txt", "texts/new.json", "tasks/piqa.jsonl"]
)
def test_figures_are_not_written_over_what_is_read(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("text.txt", "texts/a.txt", "tasks/piqa.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("precious")
    words = [
        "m", "--perplexity", str(tmp_path / "text.txt"), str(tmp_path / "texts"), "--tasks", "piqa",
        "--tasks-from", str(tmp_path / "tasks"), "--json",
    ]  # fmt: skip
    (tmp_path / "link").symlink_to(tmp_path)
    for place in (tmp_path / target, tmp_path / "link" / target):
        line = refused(evaluate, [*words, str(place)], capsys)
        assert f"`json` {place} " in line
        assert "which is read" in line
    names = ("text.txt", "texts/a.txt", "tasks/piqa.jsonl")
    assert {(tmp_path / name).read_text() for name in names} == {"precious"}
    assert not (tmp_path / "texts" / "new.json").exists()


def test_places_beside_a_model_and_models_elsewhere_are_let_pass(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_text("")
    (tmp_path / "demo").mkdir()
    (tmp_path / "m" / "runs" / "one").mkdir(parents=True)
    models = (None, "demo", "some/hub-id", str(tmp_path / "m.gguf"))
    check_outside_models(tmp_path / "pruned", "output", models)
    # Whoever works in the folder of a model has his runs in it.
    check_outside_models(tmp_path / "m" / "runs" / "one", "output", (str(tmp_path / "m"),))
