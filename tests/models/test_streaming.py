"""Models whose weights stay in their files until a block is run."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_models import shared_toy, toy_logits, toy_model, toy_tokens, write_toy_checkpoint
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from evop_deap.base.errors import InputError
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.export.export_checkpoint import export_checkpoint
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.loading.load_model import load_model
from evop_deap.models.loading.mapped_pages import MappedPages
from evop_deap.models.loading.memory_needs import allowed_memory
from evop_deap.models.loading.precision import computing_in_float32
from evop_deap.models.loading.weights_place import stays_in_files
from evop_deap.models.streaming.light_twin import light_twin
from evop_deap.models.streaming.read_ahead import Reading, read_ahead
from evop_deap.models.streaming.streamed_weights import StreamedWeights
from evop_deap.models.surgery.rehearsal import check_removable

CPU = torch.device("cpu")


def test_a_streamed_model_predicts_and_generates_like_one_in_memory(
    any_model: PreTrainedModel, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    torch.manual_seed(0)
    narrow = type(any_model)(any_model.config).to(torch.bfloat16)
    narrow.load_state_dict(any_model.state_dict())
    narrow.save_pretrained(folder)
    dense = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    StreamedWeights(model, torch.float32)
    assert torch.equal(toy_logits(model), toy_logits(dense))
    texts = [
        one.generate(toy_tokens(rows=1), max_new_tokens=4, do_sample=False, pad_token_id=0)
        for one in (model, dense)
    ]
    assert torch.equal(*texts)


def test_blocks_pass_in_the_computing_dtype_and_go_again(tmp_path: Path) -> None:
    toy_model("llama").to(torch.bfloat16).save_pretrained(tmp_path / "model")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    weights = StreamedWeights(model, torch.float32)
    blocks = find_anatomy(model).blocks
    seen = []
    for block in weights.passing([blocks[1], blocks[4]]):
        seen.append((block.index, {p.dtype for p in block.module.parameters()}))
        others = (p for other in blocks if other is not block for p in other.module.parameters())
        assert {p.dtype for p in others} == {torch.bfloat16}
    assert seen == [(1, {torch.float32}), (4, {torch.float32})]
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_a_removal_is_rehearsed_and_exported_from_files(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    toy_model("llama-tied").to(torch.bfloat16).save_pretrained(tmp_path / "dense")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "dense").eval()
    StreamedWeights(model, torch.float32)
    anatomy = find_anatomy(model)
    check_removable(model, anatomy, [0, 2])
    report = export_checkpoint(
        model, anatomy, [0, 2], tokenizer, tmp_path / "pruned",
        stored_dtype=torch.bfloat16, files=tmp_path / "dense",
    )  # fmt: skip
    assert report.max_logit_difference == 0.0
    pruned = AutoModelForCausalLM.from_pretrained(tmp_path / "pruned")
    assert (pruned.dtype, pruned.config.num_hidden_layers) == (torch.bfloat16, 3)


def test_letting_go_of_memory_loses_nothing(tmp_path: Path) -> None:
    toy_model("llama").save_pretrained(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    mapped, own = model.lm_head.weight.data, torch.arange(10_000.0)
    before = mapped.clone()
    pages = MappedPages()
    assert not pages.holds(own)
    for tensor in (mapped, own, torch.empty(0)):
        pages.read(tensor)
        pages.let_go(tensor)
    assert torch.equal(mapped, before)
    assert torch.equal(own, torch.arange(10_000.0))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="memory is let go on Linux alone")
def test_weights_that_are_mapped_are_found(tmp_path: Path) -> None:
    toy_model("llama").save_pretrained(tmp_path / "model", max_shard_size="20KB")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    pages = MappedPages()
    assert all(pages.holds(weight.data) for weight in model.parameters())
    assert not pages.holds(model.lm_head.weight.data.clone())


def test_an_error_while_reading_ends_the_walk() -> None:
    def read(item: int) -> int:
        if item == 2:
            raise OSError("the disk is gone")
        return item

    reading = read_ahead([1, 2, 3], read, Reading())
    assert next(reading) == (1, 1)
    with pytest.raises(OSError, match="the disk is gone"):
        list(reading)
    assert list(read_ahead([], read, Reading())) == []


def why_not_streamed(folder: Path, **options: Any) -> str:
    """Why a model cannot be streamed."""
    with pytest.raises(InputError) as refusal:
        load_model(str(folder), weights="streamed", **options)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_what_cannot_be_streamed_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path / "model")
    assert "`dtype` float16 is not the stored one: choose float32" in why_not_streamed(
        folder, dtype="float16", device="cpu"
    )
    assert "leave it out" in why_not_streamed(folder, text_only=True, device="cpu")
    fields = json.loads((folder / "config.json").read_text())
    quantised = {**fields, "quantization_config": {"quant_method": "gptq", "bits": 4}}
    (folder / "config.json").write_text(json.dumps(quantised))
    assert "it is quantised" in why_not_streamed(folder, device="cpu")
    (folder / "config.json").write_text(json.dumps(fields))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "it has no safetensors files: python -c" in why_not_streamed(folder, device="cpu")


def test_weights_that_cannot_be_put_together_are_not_streamed(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    shared_toy("mixtral").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    file, lacking = tmp_path / "model.safetensors", "model.layers.1.block_sparse_moe.experts.3.w1"
    tensors = load_file(file)
    one = tensors.pop(f"{lacking}.weight")
    for more in ({}, {f"{lacking}.weight": one.half()}):  # one expert less; one in another dtype
        save_file({**tensors, **more}, file)
        said = why_not_streamed(tmp_path, device="cpu")
        assert "model.layers.1.mlp.experts.gate_up_proj is not made from its stored" in said
        assert "choose `weights` resident" in said


def write_empty_checkpoint(folder: Path, **fields: Any) -> LlamaConfig:
    """Write the weights of a Llama of any size, all zero, which take no room on the disk."""
    config = LlamaConfig(**{**shared_toy("llama").config.to_dict(), **fields})
    with torch.device("meta"):
        weights = dict(LlamaForCausalLM(config).named_parameters())
    header: dict[str, Any] = {}
    end = 0
    for name, weight in weights.items():
        begin, end = end, end + 4 * math.prod(weight.shape)
        shape = list(weight.shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    said = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(said).to_bytes(8, "little") + said)
        os.truncate(file.fileno(), file.tell() + end)
    return config


def test_weights_larger_than_the_memory_are_streamed_by_themselves(tmp_path: Path) -> None:
    rows = (allowed_memory(CPU) + 2**34) // (4 * 32)  # an embedding that does not fit
    config = write_empty_checkpoint(tmp_path, vocab_size=rows)
    lines: list[str] = []
    where = {"pretrained_model_name_or_path": str(tmp_path)}
    how: Any = {"stored": torch.float32, "dtype": torch.float32, "text_only": False}
    how |= {"devices": [CPU], "tell": lines.append}
    assert stays_in_files("auto", where, config, **how)
    assert not stays_in_files("resident", where, config, **how)
    assert len(lines) == 1
    assert lines[0].endswith("that are free: they are streamed")
    small = write_toy_checkpoint(tmp_path / "small")
    where = {"pretrained_model_name_or_path": str(small)}
    assert not stays_in_files("auto", where, config, **how)


def test_a_twin_is_built_alike_and_holds_one_block_of_a_kind(tmp_path: Path) -> None:
    toy_model("gemma3").to(torch.bfloat16).save_pretrained(tmp_path / "model")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    assert light_twin(model) is model  # its weights are in memory
    StreamedWeights(model, torch.float32)
    twin: Any = light_twin(model)
    assert twin.config.layer_types == model.config.layer_types
    first, *others = (
        {weight.data_ptr() for weight in block.parameters()} for block in twin.model.layers
    )
    assert all(other == first for other in others)
    count, block = len(model.model.layers), model.model.layers[0].state_dict()
    state = model.state_dict()
    state |= {f"model.layers.{i}.{name}": t for i in range(count) for name, t in block.items()}
    resident = toy_model("gemma3")
    resident.load_state_dict(state)
    assert torch.equal(toy_logits(twin), toy_logits(resident))


def test_weights_in_memory_that_were_changed_in_place_stay_changed(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Training changes weights in pages that are mapped from a file."""
    toy_model("llama").save_pretrained(tmp_path / "model")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.5)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    fingerprint_model(model)
    export_checkpoint(model, find_anatomy(model), [1], tokenizer, tmp_path / "pruned")
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


@pytest.mark.parametrize("name", ["llama-tied", "gemma3", "gpt2"])
def test_a_model_streamed_as_it_is_stored_can_compute_in_float32(name: str, tmp_path: Path) -> None:
    toy_model(name).to(torch.bfloat16).save_pretrained(tmp_path / "model")
    plain, streamed = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.bfloat16).eval()
        for _ in range(2)
    )
    StreamedWeights(streamed, torch.bfloat16)
    assert torch.equal(toy_logits(streamed), toy_logits(plain))
    with computing_in_float32(plain), computing_in_float32(streamed):
        for seed in (1, 2):
            ids = toy_tokens(seed=seed)
            assert toy_logits(streamed, ids).dtype is torch.float32
            assert torch.equal(toy_logits(streamed, ids), toy_logits(plain, ids))
    assert torch.equal(toy_logits(streamed), toy_logits(plain))


@pytest.mark.parametrize("weights", ["streamed", "auto"])
def test_a_model_of_which_no_two_blocks_fit_is_refused(weights: str, tmp_path: Path) -> None:
    width = (allowed_memory(CPU) + 2**34) // (2 * 4 * 32)
    config = write_empty_checkpoint(tmp_path, intermediate_size=width)
    where = {"pretrained_model_name_or_path": str(tmp_path)}
    how: Any = {"stored": torch.float32, "dtype": torch.float32, "text_only": False}
    how |= {"devices": [CPU], "tell": lambda line: None}
    with pytest.raises(InputError, match=r"model\.layers\.0 takes .* MiB in float32, but .* free"):
        stays_in_files(weights, where, config, **how)


def test_the_command_that_converts_bin_files_makes_a_model_to_stream(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)  # which says bfloat16 in its configuration
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="it has no safetensors files: python -c") as refusal:
        load_model(str(folder), device="cpu", weights="streamed")
    _, command, said = str(refusal.value).split('"')
    exec(command, {})
    to = said.removeprefix(" writes them to ")
    loaded = load_model(to, device="cpu", weights="streamed", dtype="float32")
    assert loaded.streams_in is torch.float32
    assert loaded.stored_dtype is torch.bfloat16
