"""The command of healing, killed and interrupted: real processes, a toy with dropout."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked_searches import run_and_kill, start_search, wait_for
from healed_runs import pruned_toy
from toy_models import toy_model

from evop_deap.heal import main
from evop_deap.runs.heal.heal_folder import HealFolder


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command that heals a toy in twelve steps, but for the output and what is trained.

    The toy has dropout, so that its weights depend on the state of torch's random numbers.
    """
    model = toy_model("gpt2")
    assert model.config.resid_pdrop > 0
    return pruned_toy(tmp_path_factory.mktemp("toy"), model)


@pytest.fixture(
    scope="module", params=["--full", pytest.param("--no-full", marks=pytest.mark.slow)]
)
def weights(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(output: Path) -> bytes:
    return (output / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(
    weights: str, command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """The weights of a training that nothing disturbs."""
    output = tmp_path_factory.mktemp("undisturbed") / "healed"
    assert main([*command, weights, "--output", str(output)]) == 0
    return made(output)


def step_reached(folder: HealFolder, step: int) -> Callable[[], bool]:
    return lambda: any(
        int(path.name.split("-")[1]) >= step for path in folder.work.glob("trainer/checkpoint-*")
    )


MOMENTS: dict[str, Callable[[HealFolder], Callable[[], bool]]] = {
    "the training begins": lambda folder: folder.identity.exists,
    "a checkpoint has begun": lambda folder: step_reached(folder, 1),
    "a later checkpoint has begun": lambda folder: step_reached(folder, 8),
    "the last checkpoint has begun": lambda folder: step_reached(folder, 12),
    "the model is being written": lambda folder: (
        lambda: any(folder.path.glob(".model.*")) or folder.model.exists()
    ),
}
SELDOM = set(MOMENTS) - {"the model is being written"}  # the next test kills during training, too


@pytest.mark.parametrize(
    "moment",
    [pytest.param(one, marks=pytest.mark.slow if one in SELDOM else ()) for one in MOMENTS],
)
def test_a_training_killed_when(
    moment: str, weights: str, command: list[str], undisturbed: bytes, tmp_path: Path
) -> None:
    folder = HealFolder(tmp_path / "healed")
    arguments = [*command, weights, "--output", str(folder.path)]
    assert run_and_kill(arguments, MOMENTS[moment](folder), command="heal") == -signal.SIGKILL
    assert not folder.result.exists()
    assert main([*arguments, "--resume"]) == 0
    assert made(folder.path) == undisturbed
    left = sorted(path.name for path in folder.path.iterdir())
    assert left == ["healing.json", "model", "report.html"]


def test_a_training_killed_again_and_again_gets_there(
    weights: str, command: list[str], undisturbed: bytes, tmp_path: Path
) -> None:
    folder = HealFolder(tmp_path / "healed")
    arguments = [*command, weights, "--output", str(folder.path)]
    for step in sorted(random.Random(0).sample(range(2, 12), 3)):
        run_and_kill(arguments, step_reached(folder, step), command="heal")
        arguments = [*command, weights, "--output", str(folder.path), "--resume"]
    assert main(arguments) == 0
    assert made(folder.path) == undisturbed


def test_a_training_that_ended_between_its_adapters_and_its_result_goes_on(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    folder = HealFolder(tmp_path / "healed")
    arguments = [*command, "--no-full", "--keep-adapter", "--output", str(folder.path)]

    def killed(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("evop_deap.runs.heal.heal_run.draw_page", killed)
        assert main(arguments) == 130
    assert folder.adapter.is_dir()
    assert not folder.result.exists()
    assert main([*arguments, "--resume"]) == 0
    assert folder.result.exists()
    assert folder.adapter.is_dir()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_training_names_the_command_that_goes_on(
    number: int, command: list[str], tmp_path: Path
) -> None:
    folder, said = HealFolder(tmp_path / "a b" / "healed"), tmp_path / "said"
    arguments = [*command, "--seed", "3", "--overwrite", "--output", str(folder.path)]
    process = start_search(arguments, stderr=said, command="heal")
    wait_for(step_reached(folder, 4), process)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == 128 + number
    begin, _, advised = said.read_text("utf-8").strip().partition("go on with ")
    assert begin == "interrupted; "
    python, m, module, *words = shlex.split(advised)
    assert [python, m, module] == ["python", "-m", "evop_deap.heal"]
    assert not folder.result.exists()
    assert main(words) == 0
    assert folder.result.exists()


def test_a_resumed_training_keeps_what_was_chosen_for_the_machine(
    command: list[str], tmp_path: Path
) -> None:
    folder = HealFolder(tmp_path / "healed")
    arguments = [*command, "--output", str(folder.path)]
    run_and_kill(arguments, folder.identity.exists, command="heal")
    identity = json.loads(folder.identity.read_text("utf-8"))
    narrow = not identity["machine"]["narrow"]
    identity["machine"]["narrow"] = identity["narrow"] = narrow
    folder.identity.write_text(json.dumps(identity), "utf-8")
    assert main([*arguments, "--resume"]) == 0
    assert json.loads(folder.result.read_text("utf-8"))["settings"]["narrow"] is narrow
