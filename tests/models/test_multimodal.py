"""A model that reads images stays whole: its text decoder is pruned, and all else is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from toy_models import anatomy_of
from toy_multimodal import (
    MULTIMODAL,
    PROCESSOR_FILES,
    image_logits,
    shared_multimodal,
    write_multimodal,
)
from transformers import AutoModelForImageTextToText

from evop_deap.apply import main as apply
from evop_deap.models.loading.load_model import load_model
from evop_deap.models.surgery.bypass import bypassed


@pytest.fixture(scope="module", params=sorted(MULTIMODAL))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def dense(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_multimodal(tmp_path_factory.mktemp("dense"), name)


@pytest.fixture(scope="module")
def pruned(dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy without block 3 and the MLP of block 2."""
    folder = tmp_path_factory.mktemp("pruned") / "toy"
    pattern = ["--pattern", "3,2.mlp", "--output", str(folder)]
    assert apply(["--model", str(dense), *pattern, "--quiet"]) == 0
    return folder


def test_the_decoder_alone_is_pruned(name: str, pruned: Path) -> None:
    model = shared_multimodal(name)
    reloaded, info = AutoModelForImageTextToText.from_pretrained(pruned, output_loading_info=True)
    assert type(reloaded) is type(model)
    assert not any(info.values())
    assert reloaded.config.text_config.num_hidden_layers == len(anatomy_of(model).blocks) - 1
    path = anatomy_of(model).path
    kept = {n: t for n, t in model.state_dict().items() if not n.startswith(path)}
    assert any("vis" in n for n in kept)
    state = reloaded.state_dict()
    assert all(torch.equal(state[n], t) for n, t in kept.items())


@pytest.mark.parametrize("pattern", ["3", "3,2.mlp"])
def test_the_dtype_is_that_of_the_files_throughout(pattern: str, name: str, tmp_path: Path) -> None:
    write_multimodal(tmp_path / "dense", name)
    narrow = AutoModelForImageTextToText.from_pretrained(tmp_path / "dense", dtype=torch.bfloat16)
    narrow.save_pretrained(tmp_path / "dense")
    words = ["--model", str(tmp_path / "dense"), "--dtype", "float32", "--quiet"]
    folder = tmp_path / "made"
    assert apply([*words, "--pattern", pattern, "--output", str(folder)]) == 0
    config = json.loads((folder / "config.json").read_text())
    parts = (config, config["text_config"], config["vision_config"])
    assert {part.get("dtype", "bfloat16") for part in parts} == {"bfloat16"}
    assert AutoModelForImageTextToText.from_pretrained(folder, dtype="auto").dtype is torch.bfloat16
    assert load_model(str(folder)).stored_dtype is torch.bfloat16


def test_images_are_read_as_by_the_bypassed_model(name: str, pruned: Path) -> None:
    model = shared_multimodal(name)
    anatomy = anatomy_of(model, "half")
    units = [i for i, p in enumerate(anatomy.parts) if p.name in ("3.attn", "3.mlp", "2.mlp")]
    with bypassed(anatomy, units):
        expected = image_logits(model, name)
    assert not torch.allclose(image_logits(model, name), expected)
    reloaded = AutoModelForImageTextToText.from_pretrained(pruned)
    torch.testing.assert_close(image_logits(reloaded, name), expected)


def test_the_files_of_the_processor_come_along(dense: Path, pruned: Path) -> None:
    for file in PROCESSOR_FILES:
        assert (pruned / file).read_bytes() == (dense / file).read_bytes()


def test_the_card_says_what_was_kept(name: str, pruned: Path) -> None:
    card = (pruned / "README.md").read_text()
    assert "AutoModelForImageTextToText" in card
    assert "pipeline_tag: image-text-to-text" in card
    part = "model.visual" if name.startswith("qwen") else "model.vision_tower"
    assert part in card
    assert json.loads((pruned / "config.json").read_text())["vision_config"]
