"""A model stored in a narrow format computes in float32 for a while and is left bit for bit."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from toy_models import toy_logits, toy_model, toy_tokens
from transformers import AutoModelForCausalLM, PreTrainedModel

from evop_deap.models.loading.precision import computing_in_float32, computing_like

NARROW = [torch.bfloat16, torch.float16]

Bits = dict[str, tuple[torch.dtype, torch.Tensor]]


def bits(model: nn.Module) -> Bits:
    """Format and bits of everything that a model holds, copied."""
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]
    return {
        name: (t.dtype, t.detach().clone().reshape(-1).view(torch.uint8)) for name, t in tensors
    }


def assert_same_bits(model: nn.Module, before: Bits) -> None:
    after = bits(model)
    assert after.keys() == before.keys()
    for name, (dtype, content) in before.items():
        assert after[name][0] == dtype, name
        assert torch.equal(after[name][1], content), name


def assert_no_hooks(model: nn.Module) -> None:
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_a_narrow_model_computes_what_its_float32_copy_does(
    any_or_rare_model: PreTrainedModel, dtype: torch.dtype, at_once: bool
) -> None:
    model = copy.deepcopy(any_or_rare_model).to(dtype)
    expected = toy_logits(copy.deepcopy(model).float())
    before = bits(model)
    with computing_in_float32(model, at_once=at_once):
        found = toy_logits(model)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert_same_bits(model, before)
    assert_no_hooks(model)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("name", ["llama-tied", "gemma2", "qwen3-moe"])
def test_a_narrow_model_generates_with_a_cache_what_its_float32_copy_does(
    name: str, dtype: torch.dtype
) -> None:
    model = toy_model(name).to(dtype)
    before, prompt = bits(model), toy_tokens(rows=1, length=8)

    def continued(model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
        text = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=8,
            eos_token_id=None,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_logits=True,
        )
        return text.sequences, torch.stack(text.logits)

    expected_text, expected_logits = continued(copy.deepcopy(model).float())
    with computing_in_float32(model):
        text, logits = continued(model)
    assert torch.equal(text, expected_text)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected_logits, atol=1e-5, rtol=0)
    assert_same_bits(model, before)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_no_second_copy_of_the_model_is_held(dtype: torch.dtype) -> None:
    model = toy_model("llama-tied").to(dtype)
    before, wide = bits(model), []

    def count(*_: object) -> None:
        wide.append(sum(p.numel() for p in model.parameters() if p.dtype == torch.float32))

    # These hooks come before those that narrow: a module's own weights are wide then.
    handles = [module.register_forward_hook(count) for module in model.modules()]
    with computing_in_float32(model):
        assert_same_bits(model, before)
        for _ in range(2):
            toy_logits(model)
            assert_same_bits(model, before)
    for handle in handles:
        handle.remove()
    assert 0 < max(wide) < sum(p.numel() for p in model.parameters()) / 2


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_every_finite_weight_comes_back_with_its_bits(dtype: torch.dtype) -> None:
    model = toy_model("llama").to(dtype)
    weight = model.model.layers[0].mlp.up_proj.weight
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    every = every[every.isfinite()]
    for part in every.split(weight.numel()):
        with torch.no_grad():
            weight.view(-1)[: len(part)] = part
        before = bits(model)
        with computing_in_float32(model):
            toy_logits(model)
        assert_same_bits(model, before)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("moment", ["register_forward_pre_hook", "register_forward_hook"])
@pytest.mark.parametrize("place", ["model.embed_tokens", "model.layers.2.mlp.down_proj", "lm_head"])
def test_a_pass_that_fails_leaves_every_bit(
    place: str, moment: str, error: type[BaseException]
) -> None:
    model = toy_model("llama-tied").to(torch.bfloat16)
    before, expected = bits(model), toy_logits(model)

    def fail(*_: object) -> None:
        raise error("midway")

    with pytest.raises(error, match="midway"), computing_in_float32(model):  # noqa: PT012
        handle = getattr(model.get_submodule(place), moment)(fail)
        toy_logits(model)
    handle.remove()
    assert_same_bits(model, before)
    assert_no_hooks(model)
    assert torch.equal(toy_logits(model), expected)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_module_that_fails_while_it_computes_leaves_every_bit(
    error: type[BaseException],
) -> None:
    model = toy_model("llama").to(torch.float16)
    before, norm = bits(model), model.model.layers[1].input_layernorm

    # As when a signal arrives inside the module.
    def fail(*_: object) -> None:
        assert norm.weight.dtype == torch.float32
        raise error("midway")

    norm.forward = fail
    with pytest.raises(error, match="midway"), computing_in_float32(model):
        toy_logits(model)
    del norm.forward
    assert_same_bits(model, before)
    assert_no_hooks(model)


def test_a_token_outside_the_vocabulary_leaves_every_bit() -> None:
    model = toy_model("llama").to(torch.bfloat16)
    before = bits(model)
    with pytest.raises(IndexError), computing_in_float32(model):  # noqa: PT012
        toy_logits(model)
        toy_logits(model, torch.tensor([[model.config.vocab_size]]))
    assert_same_bits(model, before)
    assert_no_hooks(model)


def test_a_float32_model_is_left_alone() -> None:
    # A model of its own: transformers leaves hooks on one that was asked for hidden states.
    llama = toy_model("llama")
    expected = toy_logits(llama)
    storage = {name: p.data_ptr() for name, p in llama.named_parameters()}
    before = bits(llama)
    with computing_in_float32(llama):
        assert_no_hooks(llama)
        assert torch.equal(toy_logits(llama), expected)
    assert {name: p.data_ptr() for name, p in llama.named_parameters()} == storage
    assert_same_bits(llama, before)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_what_is_float32_in_a_narrow_model_stays_it(dtype: torch.dtype) -> None:
    model = toy_model("llama").to(dtype)
    for module in model.modules():
        if type(module).__name__ == "LlamaRMSNorm":
            module.float()
    before = bits(model)
    expected = toy_logits(copy.deepcopy(model).float())
    with computing_in_float32(model):
        found = toy_logits(model)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert_same_bits(model, before)


def test_weights_are_trained_on_as_before() -> None:
    model = toy_model("llama-tied").to(torch.bfloat16)
    model.lm_head.weight.requires_grad_(False)
    before = {name: (id(p), p.requires_grad) for name, p in model.named_parameters()}
    with computing_in_float32(model):
        toy_logits(model)
    after = {name: (id(p), p.requires_grad) for name, p in model.named_parameters()}
    assert after == before
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize("name", ["llama-tied", "gemma2", "gemma3-multimodal", "qwen3-moe"])
def test_a_checkpoint_left_in_its_file_computes_what_it_does_when_loaded_wider(
    name: str, tmp_path: Path
) -> None:
    """Gemma scales its embeddings by a buffer, which a narrow model would round."""
    toy_model(name).to(torch.bfloat16).save_pretrained(tmp_path)
    wide = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    stored = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    expected = toy_logits(wide)
    with computing_like(wide, stored):
        assert torch.equal(toy_logits(stored), expected)
