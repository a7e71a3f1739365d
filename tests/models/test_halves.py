from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_models import anatomy_of, shared_toy, toy_logits, toy_model
from transformers import PreTrainedModel

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.steps import steps_of
from evop_deap.models.surgery.bypass import bypassed


def halved(model: PreTrainedModel) -> Anatomy:
    """The anatomy by halves; a model without them is no case."""
    try:
        return anatomy_of(model, "half")
    except UnsupportedModelError as error:
        pytest.skip(str(error))


def test_halves_of_every_architecture_make_up_their_block(any_model: PreTrainedModel) -> None:
    anatomy = halved(any_model)
    units = model_units(anatomy)
    assert [u.name for u in units[:3]] == ["0.attn", "0.mlp", "1.attn"]
    for block in anatomy.blocks:
        attention, mlp = anatomy.parts_of(block)
        assert attention.modules == block.attention
        assert mlp.modules == block.mlp
        assert attention.unit.work + mlp.unit.work == pytest.approx(block.work, abs=1)
        known = {*block.attention, *block.mlp, *attention.norms, *mlp.norms}
        shared = [c for c in block.module.children() if c not in known]
        numbers = sum(p.numel() for child in shared for p in child.parameters())
        halves = attention.unit.parameters + mlp.unit.parameters
        assert halves + numbers == block.parameters


def test_norms_go_with_the_half_that_they_act_on() -> None:
    for name, ours, theirs in (
        ("llama", ["input_layernorm"], ["post_attention_layernorm"]),
        ("gemma2", ["input_layernorm", "post_attention_layernorm"],
         ["pre_feedforward_layernorm", "post_feedforward_layernorm"]),
        ("olmo2", ["post_attention_layernorm"], ["post_feedforward_layernorm"]),
    ):  # fmt: skip
        anatomy = find_anatomy(toy_model(name), "half")
        for block in anatomy.blocks:
            attention, mlp = anatomy.parts_of(block)
            assert {*attention.norms} == {getattr(block.module, norm) for norm in ours}
            assert {*mlp.norms} == {getattr(block.module, norm) for norm in theirs}


def test_blocks_that_add_both_halves_to_their_input_are_told_from_those_in_a_row() -> None:
    for name, sequential in (("llama", True), ("gemma2", True), ("gpt-neox-parallel", False),
                             ("cohere2", False)):  # fmt: skip
        anatomy = find_anatomy(toy_model(name), "half")
        turns = {tuple(part.turn for part in anatomy.parts_of(b)) for b in anatomy.blocks}
        assert turns == {(0, 1) if sequential else (0, 0)}


def test_dropping_a_half_adds_nothing_for_it(llama: PreTrainedModel) -> None:
    anatomy = anatomy_of(llama, "half")
    dense = toy_logits(llama)
    block = anatomy.blocks[2].module
    handle = block.self_attn.o_proj.register_forward_hook(lambda m, a, out: torch.zeros_like(out))
    expected = toy_logits(llama)
    handle.remove()
    with bypassed(anatomy, [4]):
        assert torch.equal(toy_logits(llama), expected)
    with bypassed(anatomy, [4, 5]):
        whole = toy_logits(llama)
    with bypassed(anatomy_of(llama), [2]):
        assert torch.equal(toy_logits(llama), whole)
    assert torch.equal(toy_logits(llama), dense)


@given(pattern=st.tuples(*[st.sampled_from([0, 1])] * 8).filter(any))
@settings(max_examples=15)
def test_both_halves_of_a_parallel_block_are_one_step(pattern: tuple[int, ...]) -> None:
    for name in ("llama", "gpt-neox-parallel"):
        anatomy = anatomy_of(shared_toy(name), "half")
        pattern = pattern[: 2 * len(anatomy.blocks)]
        pattern += (1,) * (2 * len(anatomy.blocks) - len(pattern))
        steps = steps_of(anatomy)
        taken = [steps[place] for place in steps.taken(pattern)]
        both = sum(a and m for a, m in zip(pattern[::2], pattern[1::2], strict=True))
        assert len(taken) == sum(pattern) - (both if name == "gpt-neox-parallel" else 0)
        units = model_units(anatomy)
        kept = sum(unit.work for unit, keep in zip(units, pattern, strict=True) if keep)
        assert sum(step.work for step in taken) == kept


def test_a_model_whose_halves_cannot_be_silenced_is_refused_by_block() -> None:
    with pytest.raises(UnsupportedModelError, match="block 0 has no halves .* search whole blocks"):
        find_anatomy(toy_model("bloom"), "half")


def test_another_granularity_is_refused(llama: PreTrainedModel) -> None:
    with pytest.raises(InputError, match="`granularity` must be 'block' or 'half', but got 'head'"):
        find_anatomy(llama, "head")
