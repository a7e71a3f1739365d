"""What writes last in the first block of every toy architecture."""

from __future__ import annotations

import pytest
import torch
from toy_models import ARCHITECTURES, RARE_ARCHITECTURES, toy_model, toy_tokens

from evop_deap.models.anatomy.entrance import enter
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.steps import steps_of
from evop_deap.recovery.compensation.writer import Writer
from evop_deap.recovery.compensation.writers import find_writers

MLP = {
    name: ["linear mlp.down_proj"]
    for name in (
        "llama", "llama-tied", "mistral", "qwen2", "qwen3", "qwen3-moe", "phi3", "smollm3",
        "granite", "minicpm3", "deepseek-v3",
    )
}  # fmt: skip
POST_NORM = {
    name: ["gains post_feedforward_layernorm"]
    for name in ("gemma2", "gemma3", "gemma3-multimodal", "gemma4", "olmo2")
}
WRITERS = {
    **MLP,
    **POST_NORM,
    "bamba": ["linear feed_forward.down_proj"],
    "bloom": ["linear mlp.dense_4h_to_h"],
    "cohere2": ["linear mlp.down_proj", "linear self_attn.o_proj"],
    "ernie-moe": ["linear mlp.down_proj"],
    "falcon": ["linear mlp.dense_4h_to_h", "linear self_attention.dense"],
    "falcon-old": ["linear mlp.dense_4h_to_h", "linear self_attention.dense"],
    "falcon-alibi": ["linear mlp.dense_4h_to_h"],
    "gpt-neo": ["linear mlp.c_proj"],
    "gpt-neox": ["linear mlp.dense_4h_to_h"],
    "gpt-neox-parallel": ["linear mlp.dense_4h_to_h", "linear attention.dense"],
    "gpt-oss": ["experts mlp.experts"],
    "gpt2": ["linear mlp.c_proj"],
    "lfm2": ["linear feed_forward.w2"],
    "llama4": ["linear feed_forward.down_proj"],
    "mixtral": ["experts mlp.experts"],
    "openai-gpt": ["gains ln_2"],
    "opt": ["linear fc2"],
    "opt-projected": ["gains final_layer_norm"],
    "qwen2-moe": ["linear mlp.down_proj"],
    "recurrent-gemma": ["linear mlp_block.down_proj"],
}
MIXTURES = {
    "deepseek-v3": (3, ["linear mlp.shared_experts.down_proj", "experts mlp.experts"]),
    "ernie-moe": (1, ["experts mlp.experts", "linear mlp.shared_experts.down_proj"]),
    "llama4": (1, ["linear feed_forward.shared_expert.down_proj"]),
    "qwen2-moe": (1, ["experts mlp.experts"]),
    "qwen3-moe": (1, ["experts mlp.experts"]),
}


def _found(name: str, block: int) -> tuple[Writer, ...]:
    model = toy_model(name)
    anatomy = find_anatomy(model)
    with torch.no_grad():
        entrance = enter(model, anatomy, toy_tokens(rows=1))
        hidden = entrance.hidden
        for call, one in zip(entrance.calls[:block], anatomy.blocks, strict=False):
            hidden = call(one, hidden)
        return find_writers(model, steps_of(anatomy)[block], entrance.calls, hidden)


def _said(name: str, block: int) -> list[str]:
    return [f"{w.kind} {w.name.split(f'.{block}.', 1)[1]}" for w in _found(name, block)]


@pytest.mark.parametrize("name", sorted(ARCHITECTURES | RARE_ARCHITECTURES))
def test_what_writes_last_is_found_in_every_architecture(name: str):
    assert _said(name, 0) == WRITERS[name]


@pytest.mark.parametrize("name", sorted(MIXTURES))
def test_experts_are_a_writer_whose_outputs_take_a_map(name: str):
    block, expected = MIXTURES[name]
    assert _said(name, block) == expected


@pytest.mark.parametrize(("name", "share"), [("llama", 1.0), ("granite", 0.5)])
def test_a_constant_on_the_way_to_the_residual_stream_is_known(name: str, share: float):
    (writer,) = _found(name, 0)
    assert writer.share == pytest.approx(share, rel=1e-4)


def test_the_matrix_in_front_of_a_norm_is_known():
    for name in POST_NORM:
        (norm,) = _found(name, 0)
        assert norm.feeder is not None
        assert norm.feeder.name.endswith("mlp.down_proj")
        assert norm.offset == (0.0 if name in ("olmo2", "gemma4") else 1.0)


def test_a_weight_that_stands_in_two_places_is_left_alone():
    model = toy_model("llama")
    layers = model.model.layers
    layers[1].mlp.down_proj.weight = layers[0].mlp.down_proj.weight
    anatomy = find_anatomy(model)
    with torch.no_grad():
        entrance = enter(model, anatomy, toy_tokens(rows=1))
        step = steps_of(anatomy)[0]
        assert find_writers(model, step, entrance.calls, entrance.hidden) == ()
