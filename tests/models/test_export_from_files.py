"""Pruned checkpoints that are copied from file to file hold what a model in memory would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from toy_models import anatomy_of, shared_toy, toy_model
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from evop_deap.base.errors import ExportError
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.export.blocks_in_files import blocks_in_files
from evop_deap.models.export.changed_in_files import changed_in_files
from evop_deap.models.export.export_checkpoint import export_checkpoint
from evop_deap.models.export.written_shards import write_shards
from evop_deap.models.loading.load_model import load_model
from evop_deap.models.loading.shards import stored_in
from evop_deap.models.surgery.packed_layers import packed_layers
from evop_deap.recovery.compensation.changed_weights import written
from evop_deap.runs.apply_pattern import apply_pattern
from evop_deap.settings.calibration_config import CalibrationConfig


def tensors_in(folder: Path) -> dict[str, torch.Tensor]:
    return {k: t for file in folder.glob("*.safetensors") for k, t in load_file(file).items()}


def config_in(folder: Path) -> dict[str, object]:
    fields: dict[str, object] = json.loads((folder / "config.json").read_text())
    return fields


def test_what_is_copied_is_what_a_model_in_memory_would_write(
    any_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model, dense = any_model, tmp_path / "dense"
    anatomy = anatomy_of(model)
    model.save_pretrained(dense)
    layers = packed_layers(model, anatomy, [0, 2])
    assert blocks_in_files(dense, anatomy, layers, model.dtype) is not None
    for folder, files in ((tmp_path / "copied", dense), (tmp_path / "saved", None)):
        report = export_checkpoint(model, anatomy, [0, 2], tokenizer, folder, files=files)
        assert report.max_logit_difference == 0.0
    copied, saved = tensors_in(tmp_path / "copied"), tensors_in(tmp_path / "saved")
    assert copied.keys() == saved.keys()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in copied.items())
    assert config_in(tmp_path / "copied") == config_in(tmp_path / "saved")


@pytest.mark.parametrize("name", ["llama", "llama-tied"])
def test_shards_of_narrow_weights_stay_shards(
    name: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    dense = tmp_path / "dense"
    toy = toy_model(name).to(torch.bfloat16)
    toy.resize_token_embeddings(len(tokenizer))
    toy.save_pretrained(dense, max_shard_size="20KB")
    tokenizer.save_pretrained(dense)
    loaded = load_model(str(dense), dtype="float32")
    anatomy = find_anatomy(loaded.model)
    export_checkpoint(
        loaded.model, anatomy, [1, 2], tokenizer, tmp_path / "pruned",
        stored_dtype=loaded.stored_dtype, files=loaded.files,
    )  # fmt: skip
    index = json.loads((tmp_path / "pruned" / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in (tmp_path / "pruned").glob("*.safetensors"))
    assert 1 < len(files) <= len(list(dense.glob("*.safetensors")))
    assert sorted(set(index["weight_map"].values())) == files
    written = tensors_in(tmp_path / "pruned")
    assert written.keys() == index["weight_map"].keys()
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in written.values())


def test_changed_tensors_are_written_in_the_stored_dtype(tmp_path: Path) -> None:
    toy_model("llama").to(torch.bfloat16).save_pretrained(tmp_path / "dense")
    stored = stored_in(tmp_path / "dense")
    name = "model.layers.1.mlp.down_proj.weight"
    ones = torch.ones(stored[name].shape)
    (tmp_path / "written").mkdir()
    write_shards(stored, tmp_path / "written", changed={name: ones})
    before, after = tensors_in(tmp_path / "dense"), tensors_in(tmp_path / "written")
    assert torch.equal(after.pop(name), ones.bfloat16())
    assert all(torch.equal(tensor, before[key]) for key, tensor in after.items())


@pytest.mark.parametrize(
    ("name", "layer"),
    [("llama-tied", "mlp"), ("gpt2", "mlp"), ("gemma2", "mlp"), ("mixtral", "mlp.experts")],
)
def test_changed_weights_are_written_as_from_memory(
    name: str, layer: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    toy_model(name).to(torch.bfloat16).save_pretrained(tmp_path / "dense")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "dense", dtype=torch.float32).eval()
    anatomy = anatomy_of(model)
    changes = {
        weight: (1.5 * weight.data).bfloat16().float()
        for weight in anatomy.blocks[3].module.get_submodule(layer).parameters()
    }
    with written(changes):
        for place, files in (("copied", tmp_path / "dense"), ("saved", None)):
            report = export_checkpoint(
                model, anatomy, [0, 2], tokenizer, tmp_path / place,
                stored_dtype=torch.bfloat16, files=files, changed=changes.keys(),
            )  # fmt: skip
            assert report.max_logit_difference == 0.0
    copied, saved = tensors_in(tmp_path / "copied"), tensors_in(tmp_path / "saved")
    assert copied.keys() == saved.keys()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in copied.items())
    assert config_in(tmp_path / "copied") == config_in(tmp_path / "saved")
    layers = packed_layers(model, anatomy, [0, 2])
    stored = blocks_in_files(tmp_path / "dense", anatomy, layers, torch.bfloat16)
    assert stored is not None
    with written(changes):
        found = changed_in_files(stored, anatomy, layers, changes, torch.bfloat16)
        rounded = {weight: values + 1e-4 for weight, values in changes.items()}
        with written(rounded):
            assert changed_in_files(stored, anatomy, layers, changes, torch.bfloat16) is None
    # The experts of a mixture are stored one by one.
    assert (found is None) == (name == "mixtral")
    dropped = anatomy.blocks[2].module.parameters()
    assert changed_in_files(stored, anatomy, layers, [*dropped], torch.bfloat16) is None


def test_weights_that_are_not_the_searched_ones_do_not_pass_the_gate(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = shared_toy("llama")
    other = toy_model("llama")
    with torch.no_grad():
        other.model.layers[3].mlp.down_proj.weight.add_(1.0)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ExportError, match="not the model that was searched"):
        export_checkpoint(
            model, anatomy_of(model), [1], tokenizer, tmp_path / "model", files=tmp_path / "other"
        )
    assert not (tmp_path / "model").exists()


def test_halves_and_pickles_are_written_from_memory(toy_checkpoint: Path, tmp_path: Path) -> None:
    anatomy = find_anatomy(shared_toy("llama"), "half")
    layers = packed_layers(shared_toy("llama"), anatomy, [1])
    assert blocks_in_files(toy_checkpoint, anatomy, layers, torch.float32) is None
    assert stored_in(tmp_path) == {}


def test_apply_copies_a_checkpoint_with_blocks_in_an_unknown_place(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A checkpoint of the decoder alone has names without the path of the whole model."""
    dense = tmp_path / "dense"
    toy: Any = toy_model("gpt2")
    toy.resize_token_embeddings(len(tokenizer))
    toy.transformer.save_pretrained(dense)
    tokenizer.save_pretrained(dense)
    assert "h.0.ln_1.weight" in stored_in(dense)
    apply_pattern(CalibrationConfig(model=str(dense)), "1,3", tmp_path / "pruned")
    assert "h.2.ln_1.weight" in stored_in(tmp_path / "pruned")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_that_were_rounded_when_loaded_are_written_from_memory(
    dtype: str, toy_checkpoint: Path, tmp_path: Path
) -> None:
    loaded = load_model(str(toy_checkpoint), dtype=dtype)
    anatomy = find_anatomy(loaded.model)
    report = export_checkpoint(
        loaded.model, anatomy, [1], loaded.tokenizer, tmp_path / "pruned",
        stored_dtype=loaded.stored_dtype, files=loaded.files,
    )  # fmt: skip
    assert report.max_logit_difference == 0.0
    kinds = {str(tensor.dtype) for tensor in tensors_in(tmp_path / "pruned").values()}
    assert kinds == {f"torch.{dtype}"}
