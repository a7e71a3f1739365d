"""Runs on models that read images: search, compensation, export, healing, inspection."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from own_text import own_text, quick_search
from safetensors.torch import load_file, save_file
from toy_models import toy_logits, toy_tokenizer, toy_tokens
from toy_multimodal import (
    PROCESSOR_FILES,
    image_logits,
    shared_multimodal,
    toy_multimodal,
    write_multimodal,
)
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel

from evop_deap.apply import main as apply
from evop_deap.export import main as export
from evop_deap.inspect import main as inspect
from evop_deap.recovery.healing.students import all_trainable, trainable, with_adapters
from evop_deap.runs.heal.heal_run import heal
from evop_deap.runs.run_search import run_search
from evop_deap.settings.healing_config import HealingConfig
from evop_deap.settings.search_config import SearchConfig


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_multimodal(tmp_path_factory.mktemp("llava"), "llava")


@pytest.fixture(scope="module")
def settings(llava: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a quick run over text that the toy has written itself."""
    corpus = tmp_path_factory.mktemp("own") / "own.jsonl"
    tokenizer = toy_tokenizer()
    rows = own_text(shared_multimodal("llava"), 160, 48)
    texts = [{"id": str(i), "text": tokenizer.decode(row)} for i, row in enumerate(rows)]
    corpus.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return quick_search(str(llava), str(corpus))


@pytest.fixture(scope="module")
def run(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that is compensated."""
    output = tmp_path_factory.mktemp("runs") / "one"
    run_search(SearchConfig(**settings), output)
    return output


def reloaded(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForImageTextToText.from_pretrained(folder)
    return model


def sees_as_before(folder: Path) -> bool:
    """Whether all that is not in the text decoder equals the dense toy's."""
    dense = shared_multimodal("llava").state_dict()
    return all(
        torch.equal(tensor, dense[name])
        for name, tensor in reloaded(folder).state_dict().items()
        if not name.startswith("model.language_model.layers.")
    )


def test_a_search_hands_over_the_whole_model_compensated(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    assert result["compensation"]["taken"]
    changed = [layer for cut in result["compensation"]["cuts"] for layer in cut["layers"]]
    assert all(layer.startswith("model.language_model.layers.") for layer in changed)
    assert sees_as_before(run / "model")
    assert all((run / "model" / file).is_file() for file in PROCESSOR_FILES)
    card = (run / "model" / "README.md").read_text()
    assert "kept bit for bit: model.multi_modal_projector" in card


def test_an_export_of_the_pattern_is_whole(run: Path, tmp_path: Path) -> None:
    assert export([str(run), "--output", str(tmp_path / "model"), "--quiet"]) == 0
    assert sees_as_before(tmp_path / "model")
    assert (tmp_path / "model" / PROCESSOR_FILES[0]).is_file()


def test_healing_leaves_what_reads_images_as_it_is(run: Path, tmp_path: Path) -> None:
    # Enough steps to gain in either dtype: the machine chooses the faster one.
    quick: dict[str, Any] = {"window": 32, "tokens": 8192, "learning_rate": 3e-3}
    config = HealingConfig(source=str(run), full=True, **quick)
    result = heal(config, tmp_path / "healed")
    assert result.taken
    healed, before = (reloaded(path / "model") for path in (tmp_path / "healed", run))
    vision = "model.vision_tower."
    state = before.state_dict()
    for name, tensor in healed.state_dict().items():
        if name.startswith((vision, "model.multi_modal_projector")):
            assert torch.equal(tensor, state[name])
    assert not torch.equal(image_logits(healed, "llava"), image_logits(before, "llava"))
    assert (tmp_path / "healed" / "model" / PROCESSOR_FILES[0]).is_file()


@pytest.mark.parametrize("prepare", [all_trainable, lambda model: with_adapters(model, 2)])
def test_the_decoder_and_the_head_alone_are_trained(prepare: Callable[[Any], Any]) -> None:
    names = [name for name, _ in trainable(prepare(toy_multimodal("llava")))]
    assert names
    assert all("language_model" in name or "lm_head" in name for name in names)


def test_the_language_model_alone_is_taken_on_request(
    llava: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "text"
    options = ["--text-only", "--pattern", "1", "--output", str(folder), "--quiet"]
    assert apply(["--model", str(llava), *options]) == 0
    said = "left out: model.multi_modal_projector (4 tensors), model.vision_tower (39 tensors)"
    assert said in capsys.readouterr().out
    card = (folder / "README.md").read_text()
    assert "Left out of the dense checkpoint: model.multi_modal_projector" in card
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert not (folder / PROCESSOR_FILES[0]).exists()
    whole = tmp_path / "whole"
    assert apply(["--model", str(llava), "--pattern", "1", "--output", str(whole), "--quiet"]) == 0
    assert torch.equal(toy_logits(model, toy_tokens()), toy_logits(reloaded(whole), toy_tokens()))


def test_text_only_is_refused_where_there_is_nothing_else(
    toy_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect([str(toy_checkpoint), "--text-only", "--quiet"]) == 2
    assert "`text_only` is about a model with parts beside" in capsys.readouterr().err


def test_inspect_names_what_is_kept_and_what_is_left_out(
    llava: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect([str(llava), "--quiet"]) == 0
    assert "kept as it is: model.multi_modal_projector (4 tensors)" in capsys.readouterr().out
    assert inspect([str(llava), "--text-only", "--quiet", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["model"], facts["kept"]) == ("LlamaForCausalLM", "")
    assert "model.vision_tower (39 tensors)" in facts["left_out"][0]


def test_blocks_that_read_images_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_multimodal(tmp_path / "dense", "qwen3-vl")
    arguments = ["--model", str(model), "--output", str(tmp_path / "out"), "--quiet"]
    assert apply([*arguments, "--pattern", "1"]) == 2
    assert "the first 2 blocks must stay" in capsys.readouterr().err
    assert inspect([str(model), "--quiet", "--json"]) == 0
    blocks = json.loads(capsys.readouterr().out)["blocks"]
    assert [one["obstacle"] is None for one in blocks] == [False, False, True, True, True]


@pytest.mark.parametrize("name", ["toy", "qwen3.5"])
def test_unused_weights_are_named(
    name: str, toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those that the class of the model ignores by a pattern, as Qwen3.5 does with MTP."""
    model = tmp_path / "dense"
    shutil.copytree(toy_checkpoint, model) if name == "toy" else write_multimodal(model, name)
    tensors = load_file(model / "model.safetensors")
    extra = {"mtp.0.w": torch.ones(2), "mtp.1.w": torch.ones(2), "score.weight": torch.ones(2)}
    save_file(tensors | extra, model / "model.safetensors", metadata={"format": "pt"})
    options = ["--pattern", "1", "--output", str(tmp_path / "out"), "--quiet"]
    assert apply(["--model", str(model), *options]) == 0
    said = "mtp (2 tensors), score (1 tensor), which "
    assert f"left out: {said}" in capsys.readouterr().out
    assert said in (tmp_path / "out" / "README.md").read_text()


def test_a_weight_of_the_vision_tower_that_is_not_finite_is_named(
    llava: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(llava, tmp_path / "spoiled")
    tensors = load_file(model / "model.safetensors")
    name = next(name for name in tensors if name.endswith("layers.1.mlp.fc1.bias"))
    tensors[name][3] = float("nan")
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    assert inspect([str(model), "--quiet"]) == 2
    said = "weights that are not finite: model.vision_tower"
    assert said in capsys.readouterr().err


def test_adapters_beside_the_weights_are_refused(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(toy_checkpoint, tmp_path / "adapted")
    with_adapters(AutoModelForCausalLM.from_pretrained(model), 2).save_pretrained(model)
    options = ["--pattern", "1", "--output", str(tmp_path / "out"), "--quiet"]
    assert apply(["--model", str(model), *options]) == 2
    assert "holds adapters beside its weights" in capsys.readouterr().err
