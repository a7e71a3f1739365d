"""Files that a training after pruning reads are read with types, or refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evop_deap.base.errors import CheckpointError
from evop_deap.heal import main
from evop_deap.recovery.healing.heal_trainer import last_whole
from evop_deap.runs.heal.heal_folder import HealFolder

DEEP = "[" * 3000


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line in which a command is refused."""
    assert main([*arguments, "--quiet"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    return said.err


@pytest.mark.parametrize(
    "field",
    ['evop_base: "half', 'evop_base: "\\ud800"', "evop_base: x\0y", 'evop_base: ""'],
)
def test_a_card_that_names_no_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_text(f"---\n{field}\n---\n")
    output = tmp_path / "out"
    said = refused([str(tmp_path), "--corpus", "demo", "--output", str(output)], capsys)
    assert "README.md" in said
    assert not output.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", DEEP, '{"seed": 1, "seed": 2}', '{"a": NaN}', "\0"]
)
def test_settings_to_resume_that_are_none_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "settings.json").write_text(text)
    said = refused(["nowhere", "--resume", "--output", str(tmp_path)], capsys)
    assert "settings.json" in said


@pytest.mark.parametrize(("name", "value"), [("seed", "one"), ("corpus", 3), ("unknown", 1)])
def test_a_setting_to_resume_of_another_type_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: Any
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "settings.json").write_text(json.dumps({"source": "run", name: value}))
    assert name in refused(["nowhere", "--resume", "--output", str(tmp_path)], capsys)


@pytest.mark.parametrize("text", ["", "[]", "{", DEEP])
def test_an_identity_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    folder = HealFolder(tmp_path)
    folder.work.mkdir()
    folder.identity.write_text(text)
    with pytest.raises(CheckpointError, match=r"identity\.json cannot be read"):
        folder.begin({"text": 1})


@pytest.mark.parametrize(
    "state", ["", "[]", "{}", DEEP, '{"global_step": "2", "log_history": []}',
              '{"global_step": 2, "log_history": [3]}',
              '{"global_step": 2, "log_history": [{"eval_loss": "low"}]}',
              '{"global_step": 2, "log_history": [{"eval_loss": 1}]}',
              '{"global_step": 2, "log_history": [], "best_global_step": "2"}',
              '{"global_step": 2, "log_history": [], "stateful_callbacks": []}',
              '{"global_step": 2, "log_history": [], "stateful_callbacks": {"TrainerControl": 3}}'],
)  # fmt: skip
def test_a_state_of_the_trainer_that_is_none_gives_way_to_the_one_before(
    tmp_path: Path, state: str
) -> None:
    whole = {
        "global_step": 1, "best_global_step": None, "stateful_callbacks": {},
        "log_history": [{"loss": float("nan"), "step": 1}, {"eval_loss": 2.0, "step": 1,
                        "eval_divergence": 0.5, "seconds": 3}],
    }  # fmt: skip
    for step, text in ((1, json.dumps(whole)), (2, state)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(text)
    (tmp_path / "checkpoint-last").mkdir()
    found = last_whole(tmp_path)
    assert found is not None
    assert found[0].name == "checkpoint-1"


@pytest.fixture
def own_run(finished_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    return folder


@pytest.mark.parametrize(
    ("name", "change", "word"),
    [
        ("calibration.json", {"heldout": 3}, "heldout"),
        ("calibration.json", {"heldout": {"documents": 3}}, "heldout"),
        ("result.json", {"compensation": {"taken": True}}, "compensation"),
        ("result.json", {"compensation": "yes"}, "compensation"),
        ("result.json", {"refused": [3]}, "refused"),
        ("result.json", {"executed": "all"}, "executed"),
        ("config.yaml", {"corpus": 3}, "corpus"),
        ("config.yaml", {"calibration": []}, "calibration"),
    ],
)
def test_a_run_whose_files_were_changed_is_not_healed(
    own_run: Path, capsys: pytest.CaptureFixture[str], name: str, change: dict[str, Any], word: str
) -> None:
    import yaml

    path = own_run / name
    read: Any = yaml.safe_load if name.endswith("yaml") else json.loads
    path.write_text(json.dumps({**read(path.read_text()), **change}))
    output = own_run.parent / "out"
    said = refused([str(own_run), "--base", "nowhere/x", "--output", str(output)], capsys)
    assert word in said
    assert not output.exists()


def test_a_run_that_was_not_exported_is_not_healed(
    own_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_run / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "checkpoint": None}))
    shutil.rmtree(own_run / "model")
    said = refused([str(own_run), "--output", str(own_run.parent / "out")], capsys)
    assert "has no model" in said


def test_a_name_that_no_folder_can_have_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["run", "--output", "a" * 5000])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err) < 800
