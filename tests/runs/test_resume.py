"""Runs that are killed, interrupted and resumed: real processes, a toy model."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked_searches import run_and_kill, start_search, wait_for

from evop_deap.base.errors import CheckpointError
from evop_deap.base.files import write_text
from evop_deap.runs.identity import resumed_settings
from evop_deap.runs.storage.checkpoint import load_checkpoint
from evop_deap.search import main
from evop_deap.settings.config_files import read_config, read_settings, settings_as_yaml
from evop_deap.settings.search_config import SearchConfig

GENERATIONS = 4


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    rows = [{"text": f"Text {i} is about the number {i * i}. " * 4} for i in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def settings(toy_checkpoint: Path, corpus: Path) -> list[str]:
    return [
        "--model", str(toy_checkpoint), "--corpus", str(corpus), "--sparsity", "0.4",
        "--window", "16", "--tokens", "64", "--heldout-tokens", "64", "--population", "2",
        "--tournament", "2", "--offspring", "1", "--restart", "1", "--generations",
        str(GENERATIONS),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "run"
    assert main([*settings, "--output", str(output), "--quiet"]) == 0
    return output


def interrupted(
    arguments: list[str], number: signal.Signals, when: Callable[[], bool], errors: Path
) -> int | None:
    """The exit code of a run that gets a signal as soon as `when` holds; what it says is kept."""
    process = start_search(arguments, stderr=errors)
    wait_for(when, process)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    return process.exitcode


def assert_same_outcome(output: Path, expected: Path, but: str = "", inside: str = "") -> None:
    found, wanted = (
        {name: value for name, value in timeless(folder).items() if name != but}
        for folder in (output, expected)
    )
    if inside:
        found[inside].pop(but)
        wanted[inside].pop(but)
    assert found == wanted
    for name in ("calibration.json", "config.yaml", "layer_drop_config.txt", "mergekit.yaml"):
        assert (output / name).read_bytes() == (expected / name).read_bytes()
    weights = "model/model.safetensors"
    assert (output / weights).read_bytes() == (expected / weights).read_bytes()
    assert [row["gen"] for row in history(output)] == [row["gen"] for row in history(expected)]
    leftovers = [path.name for path in output.iterdir() if path.name.startswith(".")]
    assert leftovers == []


def timeless(output: Path) -> dict[str, Any]:
    return {**json.loads((output / "result.json").read_text()), "seconds": 0}


def history(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]


def appears(path: Path) -> Callable[[], bool]:
    return path.exists


def generations_reach(output: Path, count: int) -> Callable[[], bool]:
    path = output / "history.jsonl"
    return lambda: path.exists() and path.read_text().count("\n") >= count


def a_part_of(output: Path, name: str) -> Callable[[], bool]:
    return lambda: any(output.glob(f".{name}.*.part"))


def has_said(errors: Path, words: str) -> Callable[[], bool]:
    return lambda: errors.exists() and words in errors.read_text()


def is_past(moment: float) -> Callable[[], bool]:
    return lambda: time.monotonic() > moment


MOMENTS: dict[str, Callable[[Path], Callable[[], bool]]] = {
    "the settings are written": lambda output: appears(output / "config.yaml"),
    "the calibration set is written": lambda output: appears(output / "calibration.json"),
    "the first generation is over": lambda output: generations_reach(output, 1),
    "a checkpoint is being written": lambda output: a_part_of(output, "checkpoint.json"),
    "the third generation is over": lambda output: generations_reach(output, 3),
    "the search is over": lambda output: generations_reach(output, GENERATIONS + 1),
    "the model is being exported": lambda output: a_part_of(output, "model"),
    "the model is exported": lambda output: appears(output / "model"),
    "the result is being written": lambda output: a_part_of(output, "result.json"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_when(
    moment: str, settings: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    """…resumes and ends like one that was not."""
    output = tmp_path / "run"
    exit_code = run_and_kill([*settings, "--output", str(output)], MOMENTS[moment](output))
    assert exit_code == -signal.SIGKILL or moment == "the result is being written"
    assert main([*settings, "--output", str(output), "--resume", "--quiet"]) == 0
    assert_same_outcome(output, uninterrupted)


@pytest.mark.slow
def test_a_run_killed_again_and_again_at_any_time_gets_there(
    settings: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    began = time.monotonic()
    run_and_kill([*settings, "--no-cache", "--output", str(output)], when=lambda: False)
    lasts = time.monotonic() - began
    output = tmp_path / "killed"
    for step in range(1, 6):
        end = time.monotonic() + step / 6 * lasts
        run_and_kill([*settings, "--output", str(output), "--resume"], is_past(end))
    assert main([*settings, "--output", str(output), "--resume", "--quiet"]) == 0
    assert_same_outcome(output, uninterrupted)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on_and_that_command_works(
    number: signal.Signals, code: int, settings: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output, said = tmp_path / "run", tmp_path / "stderr"
    arguments = [*settings, "--output", str(output)]
    assert interrupted(arguments, number, generations_reach(output, 2), said) == code
    errors = said.read_text()
    assert "Traceback" not in errors
    advice = errors.strip().splitlines()[-1]
    assert advice.endswith(f"--resume --output {output}")
    assert main([*advice.split("evop_deap.search ")[1].split(), "--quiet"]) == 0
    assert_same_outcome(output, uninterrupted)


@pytest.mark.slow
def test_an_interrupted_run_has_its_checkpoint(settings: list[str], tmp_path: Path) -> None:
    output = tmp_path / "run"
    arguments = [*settings, "--output", str(output)]
    begun = appears(output / "checkpoint.json")
    assert interrupted(arguments, signal.SIGTERM, begun, tmp_path / "stderr") == 143
    identity = json.loads((output / "checkpoint.json").read_text())["identity"]
    assert len(load_checkpoint(output / "checkpoint.json", identity).state.losses) >= 2


def test_resuming_a_finished_run_changes_nothing(
    settings: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    main([*settings, "--output", str(output), "--quiet"])
    assert main(["--output", str(output), "--resume", "--quiet"]) == 0
    assert_same_outcome(output, uninterrupted)


def test_resuming_with_a_later_end_goes_on_to_it(
    settings: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    main([*settings, "--output", str(output), "--quiet", "--generations", "2"])
    more = ["--resume", "--generations", str(GENERATIONS)]
    assert main([*settings[:-2], "--output", str(output), "--quiet", *more]) == 0
    # The first end has paid for a part of the second validation.
    spared = timeless(uninterrupted)["executed"] - timeless(output)["executed"]
    assert 0 <= spared <= timeless(output)["validation"]["cost"]
    assert_same_outcome(output, uninterrupted, but="executed", inside="validation")


@pytest.mark.parametrize("protect", ["[1]", "[0, -1]", "['0', '-1']"])
def test_a_run_goes_on_with_the_file_that_began_it(protect: str, tmp_path: Path) -> None:
    given = tmp_path / "settings.yaml"
    given.write_text(f"model: demo\nsparsity: 0.2\nprotect: {protect}\n")
    begun = read_config(given)
    write_text(tmp_path / "run/config.yaml", settings_as_yaml(begun))
    assert SearchConfig(**resumed_settings(tmp_path / "run", read_settings(given))) == begun
    with pytest.raises(CheckpointError, match="has protect"):
        resumed_settings(tmp_path / "run", {"protect": [2]})


def test_resuming_where_nothing_was_begun_begins(
    settings: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    assert main([*settings, "--output", str(tmp_path / "run"), "--resume", "--quiet"]) == 0
    assert_same_outcome(tmp_path / "run", uninterrupted)


def test_interrupting_an_overwriting_run_early_does_not_send_one_to_the_old_run(
    settings: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "a run"
    shutil.copytree(uninterrupted, output)
    said = tmp_path / "stderr"
    arguments = [*settings, "--seed", "9", "--output", str(output), "--overwrite"]
    begun = has_said(said, "loading the model")
    assert interrupted(arguments, signal.SIGINT, begun, said) == 130
    assert said.read_text().strip().endswith("nothing was written yet")
    assert timeless(output) == timeless(uninterrupted)


@pytest.mark.slow
def test_the_advice_can_be_pasted_whatever_the_folder_is_called(
    settings: list[str], tmp_path: Path
) -> None:
    output, said = tmp_path / "a run; of mine", tmp_path / "stderr"
    arguments = [*settings, "--output", str(output)]
    interrupted(arguments, signal.SIGINT, appears(output / "checkpoint.json"), said)
    advice = said.read_text().strip().splitlines()[-1].split("evop_deap.search ")[1]
    assert shlex.split(advice) == ["--resume", "--output", str(output)]


def test_a_run_goes_on_where_its_model_has_moved(
    settings: list[str], toy_checkpoint: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(toy_checkpoint, tmp_path / "moved")
    output = str(tmp_path / "run")
    assert main([*settings, "--output", output, "--quiet", "--generations", "1"]) == 0
    more = ["--resume", "--generations", "2", "--model", str(moved), "--device", "cpu"]
    assert main(["--output", output, "--quiet", *more]) == 0
    assert len(history(tmp_path / "run")) == 3
