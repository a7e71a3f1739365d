"""Kept halves in stock layers compute what the bypassed model does, and are written whole."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from toy_models import anatomy_of, shared_toy, toy_logits, toy_model
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from evop_deap.base.errors import ExportError, InputError, UnsupportedModelError
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.export.export_block_configs import export_block_configs
from evop_deap.models.export.export_checkpoint import export_checkpoint
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.models.surgery.dropped_parts import drops_of
from evop_deap.models.surgery.packed_layers import packed_layers
from evop_deap.models.surgery.packing import Layer, leftovers
from evop_deap.models.surgery.rehearsal import check_removable
from evop_deap.models.surgery.repacking import repacked
from evop_deap.models.surgery.zeroing import output_parameters

LLAMA = shared_toy("llama")
LLAMA_HALVES = anatomy_of(LLAMA, "half")
# The MLP of block 0 and the attention of block 1 go: one layer. So does the MLP of block 3.
ONE_PAIR, ONE_LEFT = [1, 2], [7]


def half_anatomy(model: PreTrainedModel) -> Anatomy:
    try:
        return anatomy_of(model, "half")
    except UnsupportedModelError as error:
        pytest.skip(str(error))


def test_halves_that_follow_each_other_are_one_layer_where_blocks_come_apart(
    any_or_rare_model: PreTrainedModel,
) -> None:
    model = any_or_rare_model
    anatomy = half_anatomy(model)
    with bypassed(anatomy, ONE_PAIR):
        expected = toy_logits(model)
    made = repacked(model, anatomy, ONE_PAIR)
    assert torch.equal(toy_logits(made.model), expected)
    if anatomy.parts[1].turn == 1:
        # Gemma-4 says of whole layers how wide their heads are.
        whole = "gemma4" not in model.config.model_type
        assert (made.layers[0] == Layer(0, 1)) == whole
    else:
        assert made.layers[:2] == (Layer(0, None), Layer(None, 1))
        assert made.zeroed == sum(part.unit.parameters for part in anatomy.parts[1:3])


def test_an_exported_model_of_halves_predicts_and_generates_as_it_should(
    any_model: PreTrainedModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    anatomy = half_anatomy(any_model)
    n_units = 2 * len(anatomy.blocks)
    dropped = random.Random(n_units).sample(range(n_units), n_units // 2)
    # Cached generation is a part of the export's own gate.
    report = export_checkpoint(any_model, anatomy, dropped, tokenizer, tmp_path / "model")
    assert report.max_logit_difference == 0.0
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    with bypassed(anatomy, dropped):
        assert torch.equal(toy_logits(reloaded), toy_logits(any_model))
    assert report.parameters == sum(p.numel() for p in reloaded.parameters())
    layers = packed_layers(any_model, anatomy, dropped)
    assert (report.layers, report.half_layers) == (len(layers), len(leftovers(layers)))
    if anatomy.parts[1].turn == 1:
        gone = sum(anatomy.parts[unit].unit.parameters for unit in dropped)
        dense = sum(p.numel() for p in any_model.parameters())
        assert report.parameters - report.zeroed == dense - gone


@settings(max_examples=20)
@given(dropped=st.sets(st.integers(0, 9), min_size=1, max_size=9))
def test_any_halves_are_removed_as_they_are_bypassed(dropped: set[int]) -> None:
    with bypassed(LLAMA_HALVES, dropped):
        expected = toy_logits(LLAMA)
    made = repacked(LLAMA, LLAMA_HALVES, dropped)
    assert torch.equal(toy_logits(made.model), expected)
    live = drops_of(LLAMA_HALVES, dropped).live
    assert sum(map(sum, live)) == 2 * len(made.layers) - len(leftovers(made.layers))


def test_layers_of_a_hybrid_keep_the_kind_of_their_attention() -> None:
    model = toy_model("gemma3")
    anatomy = find_anatomy(model, "half")
    # Block 5 attends fully; it loses its MLP, and block 6 its attention.
    made = repacked(model, anatomy, [11, 12])
    kinds = model.config.layer_types
    assert made.layers[5] == Layer(5, 6)
    assert made.model.config.layer_types == kinds[:6] + kinds[7:]


def test_experts_go_with_the_mlp() -> None:
    model = toy_model("deepseek-v3")
    anatomy = find_anatomy(model, "half")
    # Blocks 0 and 1 are dense; the attention of block 1 meets the experts of block 2.
    made = repacked(model, anatomy, [3, 4])
    assert made.layers[1] == Layer(1, 2)
    assert made.model.config.first_k_dense_replace == 1


def test_where_a_configuration_speaks_of_whole_layers_halves_are_not_combined() -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model, "half")
    model.config.novel_widths = [1, 2, 3, 4, 5]
    assert Layer(0, 1) not in packed_layers(model, anatomy, ONE_PAIR)


def test_a_block_with_a_weight_of_its_own_is_not_taken_apart() -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model, "half")
    model.model.layers[1].register_buffer("gain", torch.ones(1))
    assert packed_layers(model, anatomy, ONE_PAIR)[:2] == (Layer(0, None), Layer(None, 1))


def test_only_the_output_of_a_silent_half_is_zero() -> None:
    made = repacked(LLAMA, LLAMA_HALVES, ONE_LEFT)
    silent = made.model.model.layers[3].mlp
    assert not silent.down_proj.weight.any()
    assert torch.equal(silent.up_proj.weight, LLAMA.model.layers[3].mlp.up_proj.weight)
    assert made.zeroed == LLAMA_HALVES.part("3.mlp").unit.parameters
    # The live model is as it was.
    assert LLAMA.model.layers[3].mlp.down_proj.weight.any()


@pytest.mark.parametrize("name", ["qwen2-moe", "llama4", "mixtral"])
def test_experts_are_silenced_together(name: str) -> None:
    model = toy_model(name)
    sparse = find_anatomy(model, "half").part("1.mlp")
    zero = output_parameters(model, [sparse])
    (module,) = sparse.modules
    experts = {p for n, p in module.named_parameters() if "experts." in n}
    assert experts
    assert experts <= zero


def test_the_rehearsal_names_halves() -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model, "half")
    check_removable(model, anatomy, ONE_PAIR)
    # In memory only: a model built from the configuration does not scale like this.
    model.model.layers[2].self_attn.scaling *= 2
    with pytest.raises(UnsupportedModelError, match=r"without blocks 0\.mlp, 1\.attn is not"):
        check_removable(model, anatomy, ONE_PAIR)


@pytest.mark.parametrize(("dropped", "reason"), [([10], r"got \[10\]"), (range(10), "at least")])
def test_impossible_halves_are_refused(dropped: list[int], reason: str) -> None:
    with pytest.raises(InputError, match=reason), bypassed(LLAMA_HALVES, dropped):
        pass
    with pytest.raises(InputError):
        repacked(LLAMA, LLAMA_HALVES, dropped)


def run_as_decilm(folder: Path) -> torch.Tensor:
    """Logits as a reader of `block_configs` computes them: a half with `no_op` is not there."""
    config = json.loads((folder / "config.json").read_text())
    stored = load_file(folder / "model.safetensors")
    model = toy_model("llama")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert not model.load_state_dict(stored, strict=False).unexpected_keys
    for index, block in enumerate(config["block_configs"]):
        own = {key for key in stored if key.startswith(f"model.layers.{index}.")}
        has_attention = any("self_attn" in key or "input_layernorm" in key for key in own)
        has_mlp = any(".mlp." in key or "post_attention_layernorm" in key for key in own)
        assert has_attention == (not block["attention"]["no_op"])
        assert has_mlp == (not block["ffn"]["no_op"])
    return toy_logits(model)


@pytest.mark.parametrize("dropped", [ONE_PAIR, [1, 2, 3, 6, 7]])
def test_block_configs_hold_what_is_left_and_nothing_else(
    dropped: list[int], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = tmp_path / "decilm"
    report = export_block_configs(LLAMA, LLAMA_HALVES, dropped, tokenizer, folder, card="# x\n")
    assert report.max_logit_difference == 0.0
    with bypassed(LLAMA_HALVES, dropped):
        assert torch.equal(run_as_decilm(folder), toy_logits(LLAMA))
    dense = sum(p.numel() for p in LLAMA.parameters())
    gone = sum(LLAMA_HALVES.parts[unit].unit.parameters for unit in dropped)
    assert report.parameters == dense - gone
    assert report.bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_the_configuration_is_read_by_attribute_and_saved_again(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    export_block_configs(LLAMA, LLAMA_HALVES, ONE_PAIR, tokenizer, tmp_path / "decilm")
    config = AutoConfig.from_pretrained(tmp_path / "decilm", trust_remote_code=True)
    assert config.model_type == "nemotron-nas"
    assert [block.attention.no_op for block in config.block_configs[:3]] == [False, True, False]
    assert [block.ffn.no_op for block in config.block_configs[:3]] == [True, False, False]
    assert config.num_attention_heads // config.block_configs[0].attention.n_heads_in_group == 2
    config.save_pretrained(tmp_path / "again")
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    written = json.loads((tmp_path / "decilm" / "config.json").read_text())
    assert again["block_configs"] == written["block_configs"]


def test_tied_embeddings_are_stored_once_in_block_configs(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = toy_model("llama-tied")
    report = export_block_configs(model, find_anatomy(model), [1], tokenizer, tmp_path / "decilm")
    assert report.max_logit_difference == 0.0
    assert "lm_head.weight" not in load_file(tmp_path / "decilm" / "model.safetensors")


def test_block_configs_of_another_model_are_no_success(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import evop_deap.models.export.export_block_configs as module

    write = module._write

    def rounded(folder: Path, fields: dict[str, object], tensors: dict[str, torch.Tensor]) -> None:
        write(folder, fields, {name: tensor.bfloat16() for name, tensor in tensors.items()})

    monkeypatch.setattr(module, "_write", rounded)
    with pytest.raises(ExportError, match="logits differ by"):
        export_block_configs(LLAMA, LLAMA_HALVES, ONE_PAIR, tokenizer, tmp_path / "decilm")
    assert not list(tmp_path.iterdir())
