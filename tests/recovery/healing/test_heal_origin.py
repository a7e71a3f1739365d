"""Healing by origin and architecture: whose dense model, and of what kind."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from forked_searches import run_and_kill
from healed_runs import pruned_toy
from toy_models import toy_model
from transformers import AutoModelForCausalLM

from evop_deap.apply import main as apply
from evop_deap.heal import main
from evop_deap.recovery.healing.recipes import RECIPES
from evop_deap.runs.heal.heal_folder import HealFolder


def refusal(words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    assert main(words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    return err


def test_a_checkpoint_of_apply_is_healed_by_its_own_dense_model_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*pruned_toy(tmp_path, toy_model("llama")), "--output", str(tmp_path / "healed")]
    other = Path(shutil.copytree(tmp_path / "dense", tmp_path / "other"))
    model = AutoModelForCausalLM.from_pretrained(other)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    model.save_pretrained(other)
    said = refusal([*words, "--base", str(other)], capfd)
    assert "has other weights than the dense model of" in said
    assert not (tmp_path / "healed").exists()
    same = tmp_path / "same"
    (tmp_path / "dense").rename(same)
    said = refusal(words, capfd)
    assert f"`base` names {tmp_path / 'dense'}, which does not exist" in said
    assert main([*words, "--base", str(same)]) == 0
    found = json.loads((tmp_path / "healed" / "healing.json").read_text("utf-8"))
    assert found["left_out"] == 0
    assert len(found["course"]) <= RECIPES["fast"].validations


def test_a_dense_model_with_another_vocabulary_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = pruned_toy(tmp_path, toy_model("llama"))
    other = Path(shutil.copytree(tmp_path / "dense", tmp_path / "other"))
    path = other / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    one, two = sorted(vocabulary, key=vocabulary.get)[40:42]
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    path.write_text(json.dumps(content), "utf-8")
    (tmp_path / "pruned" / "README.md").unlink()
    more = ["--base", str(other), "--output", str(tmp_path / "healed")]
    assert "has another vocabulary" in refusal([*words, *more], capfd)
    assert not (tmp_path / "healed").exists()


OFTEN = {("mixtral", "--no-full")}


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        pytest.param(*pair, marks=() if pair in OFTEN else pytest.mark.slow)
        for pair in itertools.product(
            ("mixtral", "gemma2", "phi3", "gpt-neox"), ("--full", "--no-full")
        )
    ],
)
def test_other_architectures_are_healed_and_nothing_is_said(
    name: str, weights: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = pruned_toy(tmp_path, toy_model(name), drop="1")
    capfd.readouterr()
    assert main([*words, weights, "--output", str(tmp_path / "healed")]) == 0
    assert capfd.readouterr().err == ""
    assert json.loads((tmp_path / "healed" / "healing.json").read_text("utf-8"))["taken"]


def test_a_single_step_trains(tmp_path: Path) -> None:
    words = pruned_toy(tmp_path, toy_model("llama"))
    assert main([*words, "--max-steps", "1", "--output", str(tmp_path / "healed")]) == 0
    assert json.loads((tmp_path / "healed" / "healing.json").read_text("utf-8"))["taken"]


def test_windows_that_the_dense_model_cannot_predict_are_left_out_and_counted(
    tmp_path: Path,
) -> None:
    words = pruned_toy(tmp_path, toy_model("gpt-neox"), nan_for="7")
    assert main([*words, "--output", str(tmp_path / "healed")]) == 0
    found = json.loads((tmp_path / "healed" / "healing.json").read_text("utf-8"))
    assert found["taken"]
    assert found["left_out"] > 0
    assert all(loss is not None for losses in found["loss"].values() for loss in losses.values())
    assert found["windows"]["validation"] < 8192 // 16


def test_a_training_is_resumed_with_the_weights_of_its_source_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*pruned_toy(tmp_path, toy_model("llama")), "--output", str(tmp_path / "healed")]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "pruned")
    (tmp_path / "pruned" / "model.safetensors").unlink()
    weights = tmp_path / "pruned" / "pytorch_model.bin"
    torch.save(model.state_dict(), weights)
    begun = HealFolder(tmp_path / "healed").identity.exists
    assert run_and_kill(words, begun, command="heal") == -signal.SIGKILL
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    torch.save(model.state_dict(), weights)
    assert "has source " in refusal([*words, "--resume"], capfd)


def test_predictions_of_a_dense_model_are_not_taken_for_those_of_one_that_rounds_to_it(
    tmp_path: Path,
) -> None:
    words = pruned_toy(tmp_path, toy_model("llama"))
    base = ["--model", str(tmp_path / "dense"), "--dtype", "bfloat16", "--pattern", "1,3"]
    assert apply([*base, "--output", str(tmp_path / "pruned"), "--overwrite", "--quiet"]) == 0
    dense = []
    for scale in (1, 1.001):
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "dense", dtype=torch.float32)
        with torch.no_grad():
            head = model.lm_head.weight
            head.copy_(head.bfloat16().float() * scale)
        model.save_pretrained(tmp_path / "dense")
        output = tmp_path / f"healed-{scale}"
        assert main([*words, "--output", str(output)]) == 0
        found = json.loads((output / "healing.json").read_text("utf-8"))
        dense.append(found["loss"]["heldout"]["dense"])
    assert dense[0] != dense[1]
