"""Blocks, halves, norm and head are found in any architecture, and odd models are refused."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn
from toy_models import REFUSED, toy_logits, toy_model
from transformers import PreTrainedModel

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.find_anatomy import find_anatomy


def _matrices(modules: Any) -> set[nn.Parameter]:
    return {p for module in modules for p in module.parameters() if p.ndim >= 2}


def test_all_blocks_are_found_in_the_order_they_run(any_or_rare_model: PreTrainedModel) -> None:
    anatomy = find_anatomy(any_or_rare_model)
    config = any_or_rare_model.config.get_text_config(decoder=True)
    assert len(anatomy.blocks) == config.num_hidden_layers
    chain = any_or_rare_model.get_submodule(anatomy.path)
    for index, block in enumerate(anatomy.blocks):
        assert block.index == index
        assert block.module is chain[index]
        assert block.module is any_or_rare_model.get_submodule(block.name)
        assert block.parameters == sum(p.numel() for p in block.module.parameters())


def test_the_halves_of_a_block_share_out_its_matrices(any_or_rare_model: PreTrainedModel) -> None:
    for block in find_anatomy(any_or_rare_model).blocks:
        attention, mlp = _matrices(block.attention), _matrices(block.mlp)
        assert attention
        assert mlp
        assert not attention & mlp
        assert attention | mlp == _matrices([block.module])


def test_what_mixes_tokens_is_the_attention(any_model: PreTrainedModel) -> None:
    for block in find_anatomy(any_model).blocks:
        assert all("Attention" in type(module).__name__ for module in block.attention)
        assert not any("Attention" in type(module).__name__ for module in block.mlp)


def test_the_norm_takes_the_last_output_and_the_head_makes_logits(
    any_model: PreTrainedModel,
) -> None:
    anatomy = find_anatomy(any_model)
    assert anatomy.norm is not None
    assert "Norm" in type(anatomy.norm).__name__
    assert anatomy.head is any_model.get_output_embeddings()
    assert anatomy.head_work == anatomy.head.weight.numel()


def test_the_mlp_of_opt_is_its_two_linear_layers() -> None:
    block = find_anatomy(toy_model("opt")).blocks[1]
    assert block.mlp == (block.module.fc1, block.module.fc2)


def test_a_projection_after_the_blocks_takes_the_place_of_the_norm() -> None:
    model = toy_model("opt-projected")
    assert find_anatomy(model).norm is model.get_submodule("model.decoder.project_out")


def test_a_model_without_a_final_norm_has_none() -> None:
    assert find_anatomy(toy_model("openai-gpt")).norm is None


@pytest.mark.parametrize(
    ("name", "items"), [("llama", 0), ("gpt2", 0), ("falcon", 2), ("bloom", 2), ("openai-gpt", 1)]
)
def test_the_shape_of_a_blocks_output_is_known(name: str, items: int) -> None:
    assert find_anatomy(toy_model(name)).output_items == items


def test_the_work_of_a_dense_block_is_the_elements_of_its_matrices(
    llama: PreTrainedModel,
) -> None:
    # 32 wide, 4 heads, 2 key-value heads of 8: q and o 32x32, k and v 32x16, three of 32x48.
    assert find_anatomy(llama).blocks[0].work == 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48


def test_the_work_of_experts_is_the_share_that_a_token_visits() -> None:
    work = find_anatomy(toy_model("mixtral")).blocks[0].work
    attention, router, expert = 2 * 32 * 32 + 2 * 32 * 16, 4 * 32, 3 * 32 * 48
    assert work == attention + router + 2 * expert


def test_tied_embeddings_still_have_a_head_to_work() -> None:
    assert find_anatomy(toy_model("llama-tied")).head_work == 96 * 32


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "falcon"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_halves_are_the_same_in_low_precision(
    name: str, dtype: torch.dtype, attention: str
) -> None:
    model = toy_model(name)
    expected = [(b.attention, b.mlp) for b in find_anatomy(model).blocks]
    model.to(dtype).set_attn_implementation(attention)
    assert [(b.attention, b.mlp) for b in find_anatomy(model).blocks] == expected


def test_looking_leaves_no_trace(any_model: PreTrainedModel) -> None:
    modules = list(any_model.modules())
    before = toy_logits(any_model)
    torch.manual_seed(5)
    random.seed(5)
    states = torch.get_rng_state(), random.getstate()
    attributes = [set(module.__dict__) for module in modules]
    find_anatomy(any_model)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert [set(module.__dict__) for module in modules] == attributes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)
    assert torch.equal(toy_logits(any_model), before)


def test_a_model_in_training_is_put_into_evaluation() -> None:
    model = toy_model("gpt2").train()
    find_anatomy(model)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_no_decoder_with_a_head_is_refused_with_the_reason(name: str) -> None:
    build, reason = REFUSED[name]
    with pytest.raises(UnsupportedModelError, match=reason):
        find_anatomy(build())


def test_blocks_that_share_one_module_are_refused() -> None:
    model = toy_model("llama")
    model.model.layers[2] = model.model.layers[1]
    with pytest.raises(UnsupportedModelError, match="same module stands for several layers"):
        find_anatomy(model)


def test_a_state_changed_between_blocks_is_refused() -> None:
    model = toy_model("llama")
    model.model.layers[2].register_forward_pre_hook(lambda _, args: (2 * args[0], *args[1:]))
    with pytest.raises(UnsupportedModelError, match="between blocks 1 and 2"):
        find_anatomy(model)


def test_blocks_out_of_order_are_refused() -> None:
    model = toy_model("gpt2")
    model.transformer.h.__class__ = _Reversed
    with pytest.raises(UnsupportedModelError, match="order of the list"):
        find_anatomy(model)


class _Reversed(nn.ModuleList):
    def __iter__(self) -> Any:
        return reversed(list(super().__iter__()))


def test_a_config_with_fewer_layers_than_the_model_is_refused() -> None:
    model = toy_model("llama")
    model.config.num_hidden_layers = 3
    with pytest.raises(UnsupportedModelError, match="no list of 3 modules"):
        find_anatomy(model)


def test_a_model_that_fails_on_token_ids_is_refused_with_its_own_reason() -> None:
    model = toy_model("llama")
    model.model.layers[1].register_forward_pre_hook(_fail)
    with pytest.raises(UnsupportedModelError, match="token ids alone: no picture given"):
        find_anatomy(model)
    assert not any(m._forward_hooks for m in model.modules())


def _fail(*_: Any) -> None:
    raise ValueError("no picture\ngiven")


def test_a_half_that_cannot_be_told_leaves_both_empty() -> None:
    model = toy_model("llama")
    # Never called: whether it would mix tokens cannot be known.
    model.model.layers[1].idle = nn.Linear(32, 32)
    blocks = find_anatomy(model).blocks
    assert (blocks[1].attention, blocks[1].mlp) == ((), ())
    assert blocks[0].attention
