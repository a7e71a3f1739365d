"""Commands on real models and studies with one file changed: a result or one short line; seeded.

`EVOP_FUZZ=20 pytest tests/commands/test_hostile_files.py` tries twenty times as many.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ended_commands import ended
from hostile_values import as_file, changed, few, values, words
from hypothesis import given
from hypothesis import strategies as st
from test_hostile_input import RAW, RECIPES, TEXTS
from toy_landscapes import write_toy_landscape

import evop_deap.apply
import evop_deap.cache
import evop_deap.calibrate
import evop_deap.evaluate
import evop_deap.export
import evop_deap.heal
import evop_deap.inspect
import evop_deap.report
import evop_deap.search
import evop_deap.tune
from evop_deap.fitness.store import LossStore

Main = Callable[[list[str]], int]
SMALL = ["--window", "16", "--tokens", "64", "--heldout-tokens", "64", "--quiet"]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)


def run(main: Main, arguments: Sequence[str], *, made: str = "out") -> int:
    """Run a command; what it makes is removed, what it refuses has left nothing."""
    before = sorted(map(str, Path.cwd().rglob("*")))
    end = ended(main, arguments)
    code, said = end.code, end.err
    assert code in (0, 2), (arguments, said)
    if code == 2:
        assert end.out == ""
        errors = [line for line in said.splitlines() if "error: " in line]
        assert len(errors) == 1, said
        assert said.rstrip("\n").splitlines()[-1] == errors[0], said
        assert len(errors[0]) < 900
        assert errors[0].isprintable()
        assert sorted(map(str, Path.cwd().rglob("*"))) == before
    shutil.rmtree(made, ignore_errors=True)
    return code


def write(path: str | Path, text: str) -> None:
    Path(path).write_bytes(text.encode("utf-8", "surrogatepass"))


@contextlib.contextmanager
def kept(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    try:
        yield content
    finally:
        path.write_bytes(content)


@pytest.fixture
def checkpoint(toy_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_checkpoint, tmp_path / "toy"))


JSONS = ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"]


@few(10)
@given(data=st.data(), name=st.sampled_from(JSONS))
def test_a_changed_file_of_a_checkpoint(checkpoint: Path, data: st.DataObject, name: str) -> None:
    path = checkpoint / name
    with kept(path) as content:
        text = data.draw(st.sampled_from(RAW)) if data.draw(st.integers(0, 4)) == 0 else None
        write(path, text or as_file(changed(json.loads(content), data)))
        model = ["--model", str(checkpoint)]
        run(evop_deap.inspect.main, [str(checkpoint), "--quiet"])
        run(evop_deap.apply.main, [*model, "--pattern", "1", "--output", "out", "--quiet"])


@few(12)
@given(at=st.integers(0, 600), content=st.binary(max_size=9), name=st.sampled_from(["w", "c"]))
def test_changed_weights_and_truncated_files(
    checkpoint: Path, at: int, content: bytes, name: str
) -> None:
    path = checkpoint / ("model.safetensors" if name == "w" else "config.json")
    with kept(path) as whole:
        path.write_bytes(whole[:at] + content + (whole[at + len(content) :] if at % 2 else b""))
        run(evop_deap.inspect.main, [str(checkpoint), "--quiet"])


@few(25)
@given(data=st.data(), recipe=st.sampled_from([*RECIPES, *TEXTS, *RAW]))
def test_a_changed_recipe_is_applied_or_refused(
    checkpoint: Path, data: st.DataObject, recipe: Any
) -> None:
    if isinstance(recipe, str):
        at = data.draw(st.integers(0, 40))
        write("recipe", recipe[:at] + data.draw(words) + recipe[at:])
    else:
        write("recipe", as_file(changed(recipe, data)))
    model = ["--model", str(checkpoint), "--quiet"]
    run(evop_deap.apply.main, [*model, "--pattern", "recipe", "--output", "out"])


@pytest.fixture
def own_run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


CARD = ["", "{", "evop_base: {}", "a: [", "evop_base: 3", "evop_base_dtype: [1]", "base_model: \0",
        "evop_base_fingerprint: 2026-13-45", "x: " + "[" * 3000, "\ufeff"]  # fmt: skip


@few(8)
@given(data=st.data(), name=st.sampled_from(["result.json", "config.yaml", "card", "model"]))
def test_a_run_with_a_changed_file(own_run: Path, data: st.DataObject, name: str) -> None:
    places = {"card": own_run / "model" / "README.md", "model": own_run / "model" / "config.json"}
    path = places.get(name, own_run / name)
    with kept(path) as content:
        if name == "card":
            lines = data.draw(st.sampled_from(CARD) | words)
            write(path, f"---\n{lines}\n---\n{content.decode()[:200]}")
        else:
            read: Any = yaml.safe_load if name == "config.yaml" else json.loads
            write(path, as_file(changed(read(content), data)))
        place = str(own_run)
        run(evop_deap.report.main, [place, "--output", "out/page.html"])
        run(evop_deap.export.main, [place, "--output", "out", "--quiet"])
        run(evop_deap.heal.main, [place, "--base", "./nowhere", "--output", "out", "--quiet"])
        more = ["--config", str(path), *SMALL] if name == "config.yaml" else [*SMALL]
        model = ["--model", "./nowhere", "--sparsity", "0.4", "--output", "out"]
        run(evop_deap.search.main, [*more, *model])


@few(16)
@given(data=st.data(), text=st.sampled_from(RAW) | values.map(as_file) | words)
def test_text_to_calibrate_and_to_evaluate_on(
    checkpoint: Path, data: st.DataObject, text: str
) -> None:
    name = data.draw(st.sampled_from(["a.jsonl", "a.json", "a.txt", "a.csv", "a.parquet", "a.gz"]))
    rows = [as_file({"text": f"Block {i} keeps {i * i} units of it. " * 3}) for i in range(20)]
    rows.insert(data.draw(st.integers(0, 20)), text)
    write(name, "\n".join(rows))
    model = ["--model", str(checkpoint), "--corpus", name, "--calibration", "random"]
    run(evop_deap.calibrate.main, [*model, *SMALL, "--output", "out"])
    measured = ["--perplexity", name, "--window", "16", "--max-windows", "2", "--quiet"]
    run(evop_deap.evaluate.main, [str(checkpoint), *measured])


@few(10)
@given(data=st.data())
def test_questions_to_evaluate_on(checkpoint: Path, data: st.DataObject) -> None:
    pytest.importorskip("lm_eval")
    row = {"goal": "to sink", "sol1": "swim", "sol2": "fly", "label": 1}
    Path("tasks").mkdir(exist_ok=True)
    write("tasks/piqa.jsonl", as_file(changed(row, data)) + "\n" + as_file(row))
    asked = ["--tasks", "piqa", "--tasks-from", "tasks", "--limit", "1", "--quiet"]
    run(evop_deap.evaluate.main, [str(checkpoint), *asked])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landscape and a study of one trial on it."""
    folder = tmp_path_factory.mktemp("study")
    land = write_toy_landscape(folder / "toy.npz", drops=(2,))
    assert run(evop_deap.tune.main, tune_words(land, folder / "study.jsonl", folder), made="x") == 0
    return folder


def tune_words(land: Path, journal: Path, output: Path) -> list[str]:
    settings = ["--seeds", "1", "--max-cost", "2", "--seed", "0", "--quiet", "--no-pictures"]
    problem = ["--landscape", str(land), "--n-trials", "1", "--storage", str(journal)]
    return [*problem, *settings, "--output", str(output)]


@few(25)
@given(data=st.data())
def test_a_study_with_a_changed_journal(study: Path, data: st.DataObject) -> None:
    lines = (study / "study.jsonl").read_text().splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    kind = data.draw(st.integers(0, 3))
    if kind == 0:
        lines[at] = data.draw(st.sampled_from(RAW)).replace("\n", " ")
    elif kind == 1:
        lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
    else:
        lines[at] = as_file(changed(json.loads(lines[at]), data))
    write("study.jsonl", "\n".join(lines) + data.draw(st.sampled_from(["\n", "", "\0\0"])))
    command = tune_words(study / "toy.npz", Path("study.jsonl"), Path("out"))
    run(evop_deap.tune.main, command)
    assert [path.name for path in Path.cwd().iterdir()] == ["study.jsonl"]


@few(25)
@given(at=st.integers(0, 9000), content=st.binary(min_size=1, max_size=40), prefix=words)
def test_a_damaged_cache_is_shown_and_cleared(at: int, content: bytes, prefix: str) -> None:
    path = Path("losses.sqlite")
    for old in Path.cwd().glob("losses*"):
        old.unlink()
    LossStore(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + content + whole[at + len(content) :])
    for words_after in (["info"], ["clear", "--context", prefix], ["clear"]):
        end = ended(evop_deap.cache.main, ["--path", str(path), *words_after])
        assert end.code in (0, 2), end.err
        assert "Traceback" not in end.out + end.err
