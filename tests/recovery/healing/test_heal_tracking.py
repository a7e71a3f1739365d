"""A training after pruning that is watched by a tracker."""

from __future__ import annotations

import json
import math
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from forked_searches import run_and_kill
from healed_runs import pruned_toy
from toy_models import toy_model

from evop_deap.base.errors import OutputError
from evop_deap.heal import main
from evop_deap.runs.heal.heal_folder import HealFolder
from evop_deap.runs.listeners.healing_tracking import HealingTracker


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command that heals a toy in twelve steps, but for the output."""
    return pruned_toy(tmp_path_factory.mktemp("toy"), toy_model("llama"))


def logged(folder: HealFolder) -> Any:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    events = accumulator.EventAccumulator(str(folder.tracking))
    events.Reload()
    return lambda name: [(event.step, event.value) for event in events.Scalars(name)]


def check(folder: HealFolder) -> None:
    """The tracker has every step and validation once, and the perplexities of all models."""
    read, result = logged(folder), json.loads(folder.result.read_text("utf-8"))
    steps = read("healing/loss")
    assert [step for step, _ in steps] == list(range(1, result["steps"] + 1))
    assert [loss for _, loss in steps] == pytest.approx(result["losses"])
    for name in ("loss", "divergence"):
        rows = [(row["step"], pytest.approx(row[name])) for row in result["course"]]
        assert read(f"validation/{name}") == rows
    for model, loss in result["loss"]["heldout"].items():
        ((step, value),) = read(f"heldout/{model}_perplexity")
        assert step == result["steps"]
        assert value == pytest.approx(math.exp(loss))


@pytest.mark.slow
def test_tensorboard_has_every_step_and_the_result(
    command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = HealFolder(tmp_path / "healed")
    words = [*command, "--output", str(folder.path)]
    capfd.readouterr()
    assert main([*words, "--tracker", "tensorboard", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["taken"]
    check(folder)
    # Another training may take the place, and then nothing of this one is left.
    assert main([*words, "--overwrite", "--max-steps", "1"]) == 0
    assert not folder.tracking.exists()


def test_a_training_that_was_killed_and_goes_on_is_logged_once(
    command: list[str], tmp_path: Path
) -> None:
    folder = HealFolder(tmp_path / "healed")
    words = [*command, "--output", str(folder.path), "--tracker", "tensorboard"]
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    begun = folder.work / "trainer" / "checkpoint-4"
    assert run_and_kill(words, begun.exists, command="heal") == -signal.SIGKILL
    assert main([*words, "--resume"]) == 0
    check(folder)


def test_a_log_that_goes_on_within_the_same_second_is_read_second(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    folder = HealFolder(tmp_path)

    def log(steps: range) -> None:
        with HealingTracker("tensorboard", tmp_path, {}) as tracker:
            for step in steps:
                tracker.step(step, float(step))

    log(range(1, 6))
    # Files are read in the order of their names: the second, the host, the process.
    (earlier,) = folder.tracking.iterdir()
    earlier.rename(earlier.with_name(f"events.out.tfevents.{int(time.time()):010d}.zzz.1.0"))
    log(range(4, 9))
    assert [step for step, _ in logged(folder)("healing/loss")] == list(range(1, 9))


def test_a_tracker_that_is_missing_is_named_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    words = [str(tmp_path / "nowhere"), "--output", str(tmp_path / "healed"), "--tracker", "wandb"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "`tracker` wandb is not installed: pip install wandb" in err
    assert len(err.strip().splitlines()) == 1


def test_a_tracker_that_cannot_write_says_where(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    (tmp_path / "tracking").write_text("a file")
    tracker = HealingTracker("tensorboard", tmp_path, {})
    with pytest.raises(OutputError, match=f"cannot write {tmp_path / 'tracking'}"):
        tracker.step(1, 0.5)
