from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evop_deap.base.errors import InputError
from evop_deap.base.user_folders import cache_folder
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.loading.hardware import choose_device, choose_dtype
from evop_deap.models.loading.load_model import load_model

CPU = torch.device("cpu")


def test_a_checkpoint_is_loaded_as_transformers_loads_it(toy_checkpoint: Path) -> None:
    loaded = load_model(str(toy_checkpoint), dtype="float32", device="cpu")
    plain = AutoModelForCausalLM.from_pretrained(toy_checkpoint)
    ids = torch.arange(20).unsqueeze(0)
    with torch.no_grad():
        assert torch.equal(loaded.model(ids).logits, plain(ids).logits)
    assert not loaded.model.training
    assert (loaded.hub_id, loaded.stored_dtype, loaded.context) == (None, torch.float32, 128)


def test_an_added_token_beyond_the_embeddings_is_no_reason_to_refuse_a_model(
    toy_checkpoint: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(toy_checkpoint, tmp_path / "more"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image_soft_token>"]})
    tokenizer.save_pretrained(folder)
    loaded = load_model(str(folder), device="cpu")
    assert len(loaded.tokenizer) == loaded.model.config.vocab_size + 1
    tokenizer.eos_token = "<image_soft_token>"
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match="they do not belong together"):
        load_model(str(folder), device="cpu")


def test_options_reach_transformers(toy_checkpoint: Path) -> None:
    loaded = load_model(str(toy_checkpoint), attn_implementation="eager", dtype="bfloat16")
    assert loaded.model.config._attn_implementation == "eager"
    assert loaded.model.dtype == torch.bfloat16


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16, torch.float32])
def test_automatic_dtype_is_never_coarser_than_what_is_stored(stored: torch.dtype) -> None:
    assert choose_dtype("auto", stored, CPU) in {stored, torch.float32}


def test_automatic_device_is_one_that_computes() -> None:
    assert torch.ones(1, device=choose_device("auto")).sum() == 1


def test_a_fingerprint_tells_contents_apart_and_nothing_else(
    toy_checkpoint: Path, tmp_path: Path
) -> None:
    first = load_model(str(toy_checkpoint)).model
    copy = load_model(str(shutil.copytree(toy_checkpoint, tmp_path / "elsewhere"))).model
    assert fingerprint_model(first) == fingerprint_model(copy)
    with torch.no_grad():
        copy.model.layers[2].mlp.up_proj.weight[3, 1] += 1e-6
    assert fingerprint_model(first) != fingerprint_model(copy)
    assert fingerprint_model(first) != fingerprint_model(first.to(torch.bfloat16))


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("EVOP_CACHE")
    assert cache_folder().name == "evop_deap"


@pytest.mark.parametrize("name", ["", "a/b/c", "no such model"])
def test_a_name_that_can_be_no_model_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="`model`"):
        load_model(name)
