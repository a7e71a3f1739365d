"""Dropping blocks for a while and for good is the same, and leaves the live model alone."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_models import IRREMOVABLE, anatomy_of, toy_logits, toy_model, toy_tokens
from transformers import PreTrainedModel

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.models.surgery.logit_difference import logit_difference
from evop_deap.models.surgery.rehearsal import check_removable
from evop_deap.models.surgery.repacking import without_blocks


def some_subsets(n_blocks: int, last: bool = True) -> list[list[int]]:
    """The first block, the last one, both with another, and a random half."""
    rng = random.Random(n_blocks)
    last_block = n_blocks - 1 if last else 0
    half = sorted(rng.sample(range(n_blocks - 1), n_blocks // 2))
    return [[0], [last_block], sorted({0, 2, last_block}), half]


def _subsets_of(model: PreTrainedModel, anatomy: Anatomy) -> list[list[int]]:
    # Gemma-4 makes its last layer attend fully whatever its configuration says.
    is_gemma4 = model.config.model_type == "gemma4_text"
    return some_subsets(len(anatomy.blocks), last=not is_gemma4)


def test_a_bypassed_block_equals_the_physically_removed_block(
    any_or_rare_model: PreTrainedModel,
) -> None:
    model = any_or_rare_model
    anatomy = anatomy_of(model)
    dense = toy_logits(model)
    for dropped in _subsets_of(model, anatomy):
        with bypassed(anatomy, dropped):
            expected = toy_logits(model)
        pruned = without_blocks(model, anatomy, dropped)
        assert len(find_anatomy(pruned).blocks) == len(anatomy.blocks) - len(dropped)
        assert torch.equal(toy_logits(pruned), expected)
        # A block that hardly matters would hide a mistake.
        assert (dense - expected).abs().max() > 0.01 * dense.abs().max()


def test_every_submodule_knows_its_new_layer_index(any_model: PreTrainedModel) -> None:
    anatomy = anatomy_of(any_model)
    dropped = _subsets_of(any_model, anatomy)[2]
    pruned = without_blocks(any_model, anatomy, dropped)
    for index, block in enumerate(find_anatomy(pruned).blocks):
        parts = [vars(module) for module in block.module.modules()]
        known = [part[key] for part in parts for key in ("layer_idx", "layer_id") if key in part]
        assert set(known) == {index}


def test_the_live_model_is_left_as_it_was(any_model: PreTrainedModel) -> None:
    before = toy_logits(any_model)
    tensors = {key: (t.data_ptr(), t.clone()) for key, t in any_model.state_dict().items()}
    config = any_model.config.to_dict()
    parameters = list(any_model.parameters())
    anatomy = find_anatomy(any_model)
    with bypassed(anatomy, [0, 1]):
        toy_logits(any_model)
    without_blocks(any_model, anatomy, [0, 1])
    assert all(a is b for a, b in zip(parameters, any_model.parameters(), strict=True))
    for key, tensor in any_model.state_dict().items():
        assert tensor.data_ptr() == tensors[key][0]
        assert torch.equal(tensor, tensors[key][1])
    assert any_model.config.to_dict() == config
    assert not any("forward" in module.__dict__ for module in any_model.modules())
    assert torch.equal(toy_logits(any_model), before)


def test_the_pruned_model_holds_no_copies(any_model: PreTrainedModel) -> None:
    live = {tensor.data_ptr() for tensor in any_model.state_dict().values()}
    pruned = without_blocks(any_model, anatomy_of(any_model), [1])
    assert {tensor.data_ptr() for tensor in pruned.state_dict().values()} <= live
    assert not any(t.is_meta for t in [*pruned.parameters(), *pruned.buffers()])
    assert not pruned.training


def test_tied_embeddings_stay_tied() -> None:
    model = toy_model("llama-tied")
    pruned = without_blocks(model, find_anatomy(model), [2])
    assert pruned.lm_head.weight is pruned.model.embed_tokens.weight


def test_dropping_nothing_changes_nothing(llama: PreTrainedModel) -> None:
    anatomy = anatomy_of(llama)
    expected = toy_logits(llama)
    with bypassed(anatomy, []):
        assert torch.equal(toy_logits(llama), expected)
    assert torch.equal(toy_logits(without_blocks(llama, anatomy, [])), expected)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dropped=st.sets(st.integers(0, 4), min_size=1, max_size=4))
def test_any_subset_is_removed_as_it_is_bypassed(
    llama: PreTrainedModel, dropped: Iterable[int]
) -> None:
    anatomy = anatomy_of(llama)
    with bypassed(anatomy, dropped):
        expected = toy_logits(llama)
    assert torch.equal(toy_logits(without_blocks(llama, anatomy, dropped)), expected)


def test_bypasses_can_be_nested_and_end_in_reverse(llama: PreTrainedModel) -> None:
    anatomy = anatomy_of(llama)
    dense = toy_logits(llama)
    with bypassed(anatomy, [1]):
        one = toy_logits(llama)
        with bypassed(anatomy, [1, 3]):
            both = toy_logits(llama)
        assert torch.equal(toy_logits(llama), one)
    with bypassed(anatomy, [1, 3]):
        assert torch.equal(toy_logits(llama), both)
    assert torch.equal(toy_logits(llama), dense)


def test_an_exception_ends_the_bypass(llama: PreTrainedModel) -> None:
    anatomy = anatomy_of(llama)
    dense = toy_logits(llama)
    with pytest.raises(KeyError), bypassed(anatomy, [0, 1]):
        raise KeyError
    assert torch.equal(toy_logits(llama), dense)


def test_a_forward_that_another_library_put_on_a_block_comes_back() -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model)
    block = anatomy.blocks[1].module
    block.forward = own = block.forward
    with bypassed(anatomy, [1]):
        assert block.forward is not own
    assert block.__dict__["forward"] is own


def test_attributes_that_the_models_loop_reads_stay_readable() -> None:
    model = toy_model("qwen2")
    anatomy = find_anatomy(model)
    with bypassed(anatomy, range(4)):
        assert anatomy.blocks[3].module.self_attn.layer_idx == 3


@pytest.mark.parametrize(
    ("dropped", "reason"),
    [([5], r"from 0 to 4, but got \[5\]"), ([-1], "from 0 to 4"), (range(5), "at least one")],
)
def test_impossible_blocks_are_refused(
    llama: PreTrainedModel, dropped: Iterable[int], reason: str
) -> None:
    anatomy = anatomy_of(llama)
    with pytest.raises(InputError, match=reason), bypassed(anatomy, dropped):
        pass
    with pytest.raises(InputError, match=reason):
        without_blocks(llama, anatomy, dropped)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtype_and_kernels_carry_over(attention: str, dtype: torch.dtype) -> None:
    model = toy_model("mistral").to(dtype)
    model.set_attn_implementation(attention)
    pruned = without_blocks(model, find_anatomy(model), [0])
    assert pruned.config._attn_implementation == attention
    assert {p.dtype for p in pruned.parameters()} == {dtype}
    # Rotary frequencies stay in float32, as they are when a checkpoint is loaded.
    assert pruned.model.rotary_emb.inv_freq.dtype == torch.float32


def test_a_loaded_low_precision_model_is_removed_exactly(tmp_path: object) -> None:
    toy_model("llama").save_pretrained(str(tmp_path))
    model = type(toy_model("llama")).from_pretrained(str(tmp_path), dtype=torch.bfloat16)
    anatomy = find_anatomy(model)
    with bypassed(anatomy, [0, 3]):
        expected = toy_logits(model)
    assert torch.equal(toy_logits(without_blocks(model, anatomy, [0, 3])), expected)


def test_the_generation_settings_are_a_copy(llama: PreTrainedModel) -> None:
    pruned = without_blocks(llama, anatomy_of(llama), [1])
    assert pruned.generation_config.to_dict() == llama.generation_config.to_dict()
    assert pruned.generation_config is not llama.generation_config


def test_building_a_skeleton_draws_no_random_numbers(any_model: PreTrainedModel) -> None:
    anatomy = anatomy_of(any_model)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    without_blocks(any_model, anatomy, [1])
    assert torch.equal(torch.get_rng_state(), before)


def test_every_supported_model_passes_the_rehearsal(any_or_rare_model: PreTrainedModel) -> None:
    anatomy = anatomy_of(any_or_rare_model)
    for dropped in _subsets_of(any_or_rare_model, anatomy)[:2]:
        check_removable(any_or_rare_model, anatomy, dropped)


@pytest.mark.parametrize("name", sorted(IRREMOVABLE))
def test_a_model_whose_blocks_leave_a_trace_fails_the_rehearsal(name: str) -> None:
    build, block, reason = IRREMOVABLE[name]
    model = build()
    with pytest.raises(UnsupportedModelError, match=reason):
        check_removable(model, find_anatomy(model), [block])


def test_the_rehearsal_tells_the_difference() -> None:
    model = toy_model("llama")
    # In memory only: a model built from the configuration does not scale like this.
    model.model.layers[1].self_attn.scaling *= 2
    with pytest.raises(UnsupportedModelError, match=r"without blocks 0, 3 .* differ by \d"):
        check_removable(model, find_anatomy(model), [3, 0])


def test_a_model_off_its_device_is_refused(llama: PreTrainedModel) -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model)
    model.model.layers[0].to("meta")
    with pytest.raises(UnsupportedModelError, match="spread over cpu, meta"):
        without_blocks(model, anatomy, [1])


def test_a_tensor_counted_in_layers_is_named() -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model)
    model.model.depth = torch.nn.Parameter(torch.zeros(5))
    with pytest.raises(UnsupportedModelError, match=r"4 of its 5 blocks: .*model\.depth"):
        without_blocks(model, anatomy, [1])


def test_the_difference_of_logits_knows_shape_scale_and_nan() -> None:
    logits = torch.tensor([100.0, -1.0])
    assert logit_difference(logits, logits + 0.5) == (0.5, pytest.approx(1e-3))
    assert logit_difference(logits, torch.zeros(3))[0] == float("inf")
    difference, allowed = logit_difference(logits, torch.tensor([float("nan"), -1.0]))
    assert not difference <= allowed
    assert logit_difference(logits.bfloat16(), logits.bfloat16())[1] == pytest.approx(3.125)


def test_tokens_of_the_toys_reach_beyond_their_windows() -> None:
    model = toy_model("mistral")
    ids = toy_tokens(rows=1)
    other = ids.clone()
    other[0, 0] += 1
    # Five windows stacked see 5 * 5 tokens back: one layer alone sees less than the text.
    pruned = without_blocks(model, find_anatomy(model), [0, 1, 2, 3])
    changed = (toy_logits(pruned, ids) - toy_logits(pruned, other)).abs().amax(-1)[0]
    assert changed[5] > 0
    assert changed[6:].max() == 0
