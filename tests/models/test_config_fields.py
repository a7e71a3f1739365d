"""Every way of saying what differs from layer to layer is rewritten for the kept layers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from toy_models import ARCHITECTURES, RARE_ARCHITECTURES, toy_model
from transformers import PreTrainedConfig, PreTrainedModel

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.surgery.remap_config import halves_combine, remap_config

_SMALL = {"hidden_size": 32, "num_attention_heads": 4, "vocab_size": 96}


def config_of(family: str, **fields: Any) -> PreTrainedConfig:
    made: PreTrainedConfig = getattr(transformers, f"{family}Config")(**{**_SMALL, **fields})
    return made


S, F = "sliding_attention", "full_attention"

# family, its fields, kept layers, the fields that have to come out
CASES: list[tuple[str, dict[str, Any], list[int], dict[str, Any]]] = [
    ("Llama", {"num_hidden_layers": 6}, [1, 4], {"num_hidden_layers": 2}),
    ("GPT2", {"n_layer": 6}, [0, 5], {"n_layer": 2, "num_hidden_layers": 2}),
    (
        "Qwen2",
        {"num_hidden_layers": 5, "use_sliding_window": True, "max_window_layers": 3},
        [1, 3, 4],
        {"layer_types": [F, S, S], "max_window_layers": 1},
    ),
    (
        "Gemma3Text",
        {"num_hidden_layers": 7},
        [4, 5, 6],
        {"layer_types": [S, F, S]},
    ),
    (
        "SmolLM3",
        {"num_hidden_layers": 5, "no_rope_layers": [1, 1, 0, 1, 0]},
        [0, 2, 4],
        {"no_rope_layers": [1, 0, 0]},
    ),
    (
        "Qwen3Moe",
        {"num_hidden_layers": 8, "decoder_sparse_step": 2, "mlp_only_layers": [3]},
        # Sparse are 1, 5 and 7.
        [0, 1, 3, 7],
        {"decoder_sparse_step": 1, "mlp_only_layers": [0, 2]},
    ),
    (
        "Qwen3Moe",
        {"num_hidden_layers": 4, "decoder_sparse_step": 1},
        [1, 2],
        {"decoder_sparse_step": 1, "mlp_only_layers": []},
    ),
    (
        "KimiLinear",
        {
            "num_hidden_layers": 4,
            "linear_attn_config": {
                "full_attn_layers": [2, 4],
                "kda_layers": [1, 3],
                "head_dim": 8,
                "num_heads": 4,
                "short_conv_kernel_size": 4,
            },
        },
        [1, 2, 3],
        {
            "linear_attn_config": {
                "full_attn_layers": [1, 3],
                "kda_layers": [2],
                "head_dim": 8,
                "num_heads": 4,
                "short_conv_kernel_size": 4,
            },
        },
    ),
    (
        "GlmMoeDsa",
        {"num_hidden_layers": 4, "index_topk_pattern": "FFSF"},
        [1, 2, 3],
        {"index_topk_pattern": "FSF", "indexer_types": ["full", "shared", "full"]},
    ),
    ("DeepseekV3", {"num_hidden_layers": 6}, [0, 2, 4, 5], {"first_k_dense_replace": 2}),
    ("DeepseekV3", {"num_hidden_layers": 6}, [4, 5], {"first_k_dense_replace": 0}),
    ("DeepseekV3", {"num_hidden_layers": 6}, [4, 5], {"num_nextn_predict_layers": 0}),
    ("Lfm2Moe", {"num_hidden_layers": 4, "layer_types": [F] * 4}, [1, 3], {"num_dense_layers": 1}),
    (
        "Llama4Text",
        {
            "num_hidden_layers": 6,
            "interleave_moe_layer_step": 2,
            "no_rope_layers": [1, 0, 1, 1, 1, 0],
        },
        [0, 1, 5],
        {"moe_layers": [1, 2], "no_rope_layers": [1, 0, 0]},
    ),
    (
        "Ernie4_5_Moe",
        {"num_hidden_layers": 6, "moe_layer_start_index": 2, "moe_layer_end_index": 4},
        [0, 1, 3, 4, 5],
        {"moe_layer_start_index": 2, "moe_layer_end_index": 3, "moe_layer_interval": 1},
    ),
    (
        "Ernie4_5_Moe",
        {"num_hidden_layers": 6, "moe_layer_start_index": 2, "moe_layer_end_index": 4},
        [0, 1, 5],
        {"moe_layer_start_index": 3, "moe_layer_end_index": 3},
    ),
    (
        "Jamba",
        {
            "num_hidden_layers": 8,
            "attn_layer_period": 4,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
        },
        [0, 1, 4, 5],
        {
            "layers_block_type": ["mamba", "attention", "mamba", "attention"],
            "layers_num_experts": [1, 16, 1, 16],
        },
    ),
    (
        "Bamba",
        {
            "num_hidden_layers": 6,
            "attn_layer_indices": [1, 4],
            "mamba_n_heads": 4,
            "mamba_d_head": 16,
        },
        [0, 2, 4, 5],
        {"attn_layer_indices": [2]},
    ),
    (
        "Lfm2",
        {"num_hidden_layers": 5, "full_attn_idxs": [2, 4]},
        [1, 2, 3],
        {"full_attn_idxs": [1], "layer_types": ["conv", F, "conv"]},
    ),
    (
        "GPTNeo",
        {"num_layers": 6, "attention_types": [[["global", "local"], 2], [["local"], 2]]},
        [0, 2, 5],
        {
            "attention_types": [[["global", "global", "local"], 1]],
            "attention_layers": ["global", "global", "local"],
        },
    ),
    (
        "RecurrentGemma",
        {"num_hidden_layers": 7},
        [2, 3, 5],
        {"block_types": ["attention", "recurrent", "attention"]},
    ),
    (
        "NemotronH",
        {"layer_types": ["linear_attention", "moe", F, "moe"]},
        [1, 2],
        {"layer_types": ["moe", F], "num_hidden_layers": 2},
    ),
    (
        "MistralLarge4Text",
        {"num_hidden_layers": 4},
        [1, 3],
        {"kv_source_layers": [0, 1]},
    ),
    (
        "Gemma3nText",
        {
            "num_hidden_layers": 5,
            "num_kv_shared_layers": 0,
            "intermediate_size": [8, 16, 24, 32, 40],
            "activation_sparsity_pattern": [0.5, 0.4, 0.3, 0.2, 0.1],
        },
        [0, 3],
        {"intermediate_size": [8, 32], "activation_sparsity_pattern": [0.5, 0.2]},
    ),
]


@pytest.mark.parametrize(
    ("family", "fields", "kept", "expected"),
    CASES,
    ids=[f"{case[0]}-{'-'.join(map(str, case[2]))}" for case in CASES],
)
def test_a_field_speaks_of_the_kept_layers(
    family: str, fields: dict[str, Any], kept: list[int], expected: dict[str, Any]
) -> None:
    remapped = remap_config(config_of(family, **fields), kept)
    assert remapped.num_hidden_layers == len(kept)
    assert {name: getattr(remapped, name) for name in expected} == expected


def test_the_residual_scale_of_minicpm_keeps_its_quotient() -> None:
    dense = config_of("MiniCPM3", num_hidden_layers=9, scale_depth=1.5)
    pruned = remap_config(dense, [0, 2, 4, 8])
    assert pruned.scale_depth / 4**0.5 == pytest.approx(1.5 / 9**0.5, rel=1e-15)


def test_overrides_of_single_layers_move_with_them() -> None:
    dense = toy_model("gemma4").config
    pruned = remap_config(dense, [2, 3, 4])
    assert pruned.to_dict()["per_layer_config"] == {"1": {"head_dim": 16}, "2": {"head_dim": 16}}


REFUSALS: list[tuple[str, dict[str, Any], list[int], str]] = [
    ("GPT2", {"n_layer": 4, "scale_attn_by_inverse_layer_idx": True}, [0, 1], "inverse_layer_idx"),
    ("Gemma3nText", {"num_hidden_layers": 30}, list(range(29)), "num_kv_shared_layers"),
    ("DeepseekV2", {"num_hidden_layers": 4, "moe_layer_freq": 2}, [0, 1], "moe_layer_freq"),
    (
        "MistralLarge4Text",
        {"num_hidden_layers": 4, "kv_source_layers": [0, 1, 1, 3]},
        [0, 1],
        "kv_source_layers",
    ),
    (
        "Jamba",
        {"num_hidden_layers": 8, "attn_layer_period": 4, "attn_layer_offset": 1},
        [1, 2, 3, 5, 6],
        "_layer_period",
    ),
    (
        "Ernie4_5_Moe",
        {"num_hidden_layers": 6, "moe_layer_interval": 2},
        [1, 2, 3],
        "moe_layer_interval",
    ),
    ("OlmoHybrid", {"num_hidden_layers": 4}, [0, 1], "at least one attention layer"),
]


@pytest.mark.parametrize(
    ("family", "fields", "kept", "reason"), REFUSALS, ids=[case[0] for case in REFUSALS]
)
def test_what_cannot_be_said_is_refused_by_name(
    family: str, fields: dict[str, Any], kept: list[int], reason: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=reason) as caught:
        remap_config(config_of(family, **fields), kept)
    assert "\n" not in str(caught.value)


def test_keeping_every_layer_changes_nothing_but_its_spelling(
    any_or_rare_model: PreTrainedModel,
) -> None:
    config = any_or_rare_model.config
    before = copy.deepcopy(config.to_dict())
    count = config.get_text_config(decoder=True).num_hidden_layers
    same = remap_config(config, range(count))
    assert config.to_dict() == before
    assert type(same) is type(config)
    # The families that count or group say the same thing explicitly afterwards.
    respelled = {
        "attention_types",
        "block_types",
        "decoder_sparse_step",
        "max_window_layers",
        "mlp_only_layers",
        "num_nextn_predict_layers",
    }
    after = same.to_dict()
    assert {key for key in before if before[key] != after[key]} <= respelled


@given(data=st.data())
def test_removing_in_two_steps_is_removing_at_once(data: st.DataObject) -> None:
    config = _CONFIGS[data.draw(st.sampled_from(sorted(_CONFIGS)))]
    count = config.get_text_config(decoder=True).num_hidden_layers
    first = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=2)))
    second = sorted(data.draw(st.sets(st.integers(0, len(first) - 1), min_size=1)))
    at_once = remap_config(config, [first[index] for index in second])
    in_steps = remap_config(remap_config(config, first), second)
    assert in_steps.to_dict() == at_once.to_dict()


# Rounding of MiniCPM's scale and Gemma-4's special last layer make two steps differ from one.
_CONFIGS = {
    name: toy_model(name).config
    for name in sorted(ARCHITECTURES | RARE_ARCHITECTURES)
    if name not in ("gemma4", "minicpm3")
}


def test_only_the_text_part_of_a_nested_configuration_changes() -> None:
    dense = toy_model("gemma3-multimodal").config
    pruned = remap_config(dense, [0, 5])
    assert pruned.text_config.num_hidden_layers == 2
    assert pruned.text_config.layer_types == [S, F]
    assert pruned.vision_config.to_dict() == dense.vision_config.to_dict()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["llama", "gemma3-multimodal"])
def test_the_choice_of_kernels_carries_over(name: str, attention: str) -> None:
    model = toy_model(name)
    model.set_attn_implementation(attention)
    pruned = remap_config(model.config, [0, 1])
    assert pruned._attn_implementation == attention
    assert pruned.get_text_config(decoder=True)._attn_implementation == attention


def test_lists_that_only_happen_to_be_as_long_stay() -> None:
    dense = config_of("Llama", num_hidden_layers=3, eos_token_id=[1, 2, 3])
    dense.architectures = ["A", "B", "C"]
    pruned = remap_config(dense, [0])
    assert (pruned.eos_token_id, pruned.architectures) == ([1, 2, 3], ["A", "B", "C"])


def test_a_list_of_layers_under_a_new_name_is_filtered() -> None:
    dense = config_of("Llama", num_hidden_layers=3, novel_widths=[7, 8, 9])
    assert remap_config(dense, [0, 2]).novel_widths == [7, 9]


# family, its fields, blocks of the attentions, blocks of the MLPs, the fields that have to come out
MIXED: list[tuple[str, dict[str, Any], list[int], list[int], dict[str, Any]]] = [
    (
        "Qwen2",
        {"num_hidden_layers": 5, "use_sliding_window": True, "max_window_layers": 3},
        [0, 2],
        [1, 4],
        {"layer_types": [F, F], "max_window_layers": 2},
    ),
    (
        "SmolLM3",
        {"num_hidden_layers": 5, "no_rope_layers": [1, 1, 0, 1, 0]},
        [1, 3],
        [2, 4],
        {"no_rope_layers": [1, 1]},
    ),
    (
        "Qwen3Moe",
        {"num_hidden_layers": 8, "decoder_sparse_step": 2, "mlp_only_layers": [3]},
        [0, 1, 3],
        [0, 2, 7],
        {"decoder_sparse_step": 1, "mlp_only_layers": [0, 1]},
    ),
    ("DeepseekV3", {"num_hidden_layers": 6}, [0, 1], [2, 4], {"first_k_dense_replace": 1}),
    (
        "Llama4Text",
        {
            "num_hidden_layers": 6,
            "interleave_moe_layer_step": 2,
            "no_rope_layers": [1, 0, 1, 1, 1, 0],
        },
        [0, 1, 5],
        [0, 3, 5],
        {"moe_layers": [1, 2], "no_rope_layers": [1, 0, 0]},
    ),
    (
        "Jamba",
        {
            "num_hidden_layers": 8,
            "attn_layer_period": 4,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
        },
        [0, 1, 4],
        [1, 2, 5],
        {
            "layers_block_type": ["mamba", "attention", "mamba"],
            "layers_num_experts": [16, 1, 16],
        },
    ),
    (
        "GPTNeo",
        {"num_layers": 6, "attention_types": [[["global", "local"], 3]]},
        [0, 3],
        [1, 4],
        {"attention_layers": ["global", "local"]},
    ),
    (
        "RecurrentGemma",
        {"num_hidden_layers": 6},
        [2, 3],
        [2, 5],
        {"block_types": ["attention", "recurrent"]},
    ),
    (
        "Gemma3nText",
        {"num_hidden_layers": 3, "num_kv_shared_layers": 0, "intermediate_size": [8, 16, 24]},
        [0, 1],
        [1, 2],
        {"intermediate_size": [16, 24]},
    ),
]


@pytest.mark.parametrize(
    ("family", "fields", "attention", "mlp", "expected"), MIXED, ids=[case[0] for case in MIXED]
)
def test_a_field_follows_the_half_that_it_speaks_of(
    family: str,
    fields: dict[str, Any],
    attention: list[int],
    mlp: list[int],
    expected: dict[str, Any],
) -> None:
    dense = config_of(family, **fields)
    remapped = remap_config(dense, attention, mlp)
    assert {name: getattr(remapped, name) for name in expected} == expected
    assert all(halves_combine(dense, i, j) for i, j in zip(attention, mlp, strict=True))


COMBINED: list[tuple[str, dict[str, Any], str]] = [
    ("Llama", {"num_hidden_layers": 3, "novel_widths": [7, 7, 9]}, "novel_widths"),
    (
        "Llama",
        {"num_hidden_layers": 3, "per_layer_config": {"2": {"intermediate_size": 8}}},
        "per_layer_config",
    ),
    ("Llama", {"num_hidden_layers": 3, "hybrid_override_pattern": "MM*"}, "hybrid_override"),
    ("Llama", {"num_hidden_layers": 3, "hybrid_layer_ids": [2]}, "hybrid_layer_ids"),
    ("NemotronH", {"layer_types": ["linear_attention", "linear_attention", "moe"]}, "block_type"),
]


@pytest.mark.parametrize(("family", "fields", "name"), COMBINED, ids=[case[2] for case in COMBINED])
def test_what_is_said_of_whole_layers_must_be_the_same_for_both_halves(
    family: str, fields: dict[str, Any], name: str
) -> None:
    dense = config_of(family, **fields)
    assert halves_combine(dense, 0, 1)
    assert not halves_combine(dense, 0, 2)
    assert not halves_combine(dense, 2, 1)
    remap_config(dense, [0], [1])
    with pytest.raises(UnsupportedModelError, match=name):
        remap_config(dense, [0], [2])
