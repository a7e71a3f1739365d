from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_text import own_text
from toy_models import toy_model, toy_tokenizer
from transformers import PreTrainedModel

from evop_deap.base.errors import InputError
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.probe import run_forward
from evop_deap.models.export.export_checkpoint import export_checkpoint
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.recovery.compensation.changed_weights import written
from evop_deap.recovery.compensation.compensate import Compensation, compensate
from evop_deap.recovery.compensation.cuts import places_of
from evop_deap.runs.pruned_model import changed_model


def _granularity(model: PreTrainedModel) -> str:
    """Halves where the model has them, so that attention writes before some of the cuts."""
    try:
        find_anatomy(model, "half")
    except Exception:
        return "block"
    return "half"


def _check(
    model: PreTrainedModel, anatomy: Anatomy, dropped: list[int], folder: Path
) -> Compensation:
    """Compensate, export, reload: the checkpoint is the dense model with changed weights."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    text = own_text(model, 48)
    made = compensate(model, anatomy, dropped, text)
    assert made.after <= made.before
    names = {parameter: name for name, parameter in model.named_parameters()}
    changed = {names[parameter].rpartition(".")[0] for parameter in made.changes}
    assert changed == {layer for cut in made.cuts for layer in cut.layers}
    ids = torch.as_tensor(text[:2])
    with written(made.changes), bypassed(anatomy, dropped):
        expected = run_forward(model, ids)
    pruned = changed_model(made.model(model, anatomy, dropped))
    torch.testing.assert_close(run_forward(pruned.model, ids), expected)
    # Which raises where the reloaded checkpoint is not the model in memory.
    export_checkpoint(pruned.model, pruned.anatomy, (), toy_tokenizer(), folder / "model")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    return made


def test_every_architecture_is_compensated_and_exported_as_it_is_in_memory(
    any_or_rare_model: PreTrainedModel, tmp_path: Path
):
    anatomy = find_anatomy(any_or_rare_model)
    last = len(anatomy.blocks) - 1
    made = _check(any_or_rare_model, anatomy, [1, last], tmp_path)
    assert [cut.dropped for cut in made.cuts] == [("1",), (str(last),)]
    assert made.after < made.before  # its own text: the dense model knows it best


def test_halves_of_every_architecture_are_compensated_and_exported(
    any_or_rare_model: PreTrainedModel, tmp_path: Path
):
    if _granularity(any_or_rare_model) == "block":
        pytest.skip("has no halves")
    anatomy = find_anatomy(any_or_rare_model, "half")
    made = _check(any_or_rare_model, anatomy, [1, 2, 5, 2 * len(anatomy.blocks) - 2], tmp_path)
    assert made.after < made.before


def test_a_block_that_is_linear_in_what_is_written_before_it_is_recovered_exactly():
    model: Any = toy_model("gpt2")
    block = model.transformer.h[2]
    step = 0.3 * torch.randn(32, 32, generator=torch.Generator().manual_seed(0))

    before = model.transformer.h[1]
    said: dict[torch.Tensor, torch.Tensor] = {}  # by the state behind the block that said it

    def forward(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return hidden_states + said[hidden_states] @ step

    def mlp_done(module: Any, args: Any, output: torch.Tensor) -> None:
        module.said = output.detach()

    def block_done(module: Any, args: Any, output: Any) -> None:
        said[output if isinstance(output, torch.Tensor) else output[0]] = module.mlp.said

    handles = [
        before.mlp.register_forward_hook(mlp_done),
        before.register_forward_hook(block_done),
    ]
    block.forward = forward
    try:
        anatomy = _bare(model)
        made = compensate(model, anatomy, [2], own_text(model, 64), form="map")
    finally:
        for handle in handles:
            handle.remove()
    (cut,) = made.cuts
    assert cut.form == "map"
    assert cut.distance[0] > 1e-2
    assert cut.distance[1] < 1e-4


def _bare(model: Any) -> Anatomy:
    """The anatomy of the model as it was; a block was replaced since."""
    block = model.transformer.h[2]
    own = block.__dict__.pop("forward")
    anatomy = find_anatomy(model)
    block.forward = own
    return anatomy


def test_full_leaves_no_more_than_map_on_the_same_tokens(llama: PreTrainedModel):
    """The full form contains the map: so where there is more text than unknowns, it is nearer."""
    anatomy, text = find_anatomy(llama), own_text(llama, 400)
    left = {}
    for form in ("full", "map"):
        (cut,) = compensate(llama, anatomy, [2], text, form=form).cuts
        assert cut.form == form
        left[form] = cut.distance[1]
    assert left["full"] < left["map"]


def test_several_cuts_see_those_before_them(llama: PreTrainedModel):
    anatomy, text = find_anatomy(llama), own_text(llama, 96)
    both = compensate(llama, anatomy, [1, 3], text, form="full")
    first = compensate(llama, anatomy, [1], text, form="full")
    name = dict(llama.named_parameters())["model.layers.0.mlp.down_proj.weight"]
    assert torch.equal(both.changes[name], first.changes[name])
    assert len(both.changes) == 2
    assert both.cuts[1].loss[0] == both.cuts[0].loss[1]


def test_at_the_very_beginning_nothing_is_written_and_a_scale_is_left(llama: PreTrainedModel):
    made = compensate(llama, find_anatomy(llama), [0], own_text(llama, 48))
    (cut,) = made.cuts
    assert "nothing is written before it" in cut.reason
    assert cut.form in ("scale", None)
    assert made.after <= made.before


def test_a_scale_needs_norms_before_all_that_reads():
    """OLMo-2 norms what its halves say, and not what they are given."""
    model = toy_model("olmo2")
    (cut,) = compensate(model, find_anatomy(model), [1], own_text(model, 16), form="scale").cuts
    assert cut.form is None
    assert cut.reason == "model.layers.2 does not norm what it reads"


@pytest.mark.parametrize("name", ["llama", "llama-tied", "gpt2", "gemma2", "cohere2"])
def test_a_scale_changes_what_is_written_behind_the_cut_alone(name: str):
    model = toy_model(name)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter *= 2.0
    anatomy = find_anatomy(model)
    made = compensate(model, anatomy, [1], own_text(model, 48), form="scale")
    (cut,) = made.cuts
    assert cut.form == "scale" or "no lower" in cut.reason
    names = {p: n for n, p in model.named_parameters()}
    for parameter in made.changes:
        block = int(names[parameter].split(f"{anatomy.path}.")[1].split(".")[0])
        assert block > 1


def test_scaling_all_that_is_written_behind_a_cut_is_scaling_what_is_before_it():
    """Prune&Comp multiplies what is before; norms make that the same function."""
    from evop_deap.models.anatomy.entrance import enter
    from evop_deap.recovery.compensation.resuming import Sample
    from evop_deap.recovery.compensation.scale import scaled_behind

    for name in ("llama", "gpt2", "gemma2"):
        model = toy_model(name)
        anatomy = find_anatomy(model)
        ids = torch.as_tensor(own_text(model, 2))
        with torch.no_grad():
            entrance = enter(model, anatomy, ids)
            places = places_of(anatomy, [1])
            sample = Sample(ids, entrance.calls, entrance.hidden)
            changes = scaled_behind(model, anatomy, places[2:], sample, 1 / 1.5)
            plain = run_forward(model, ids)

            def louder(module: Any, args: Any, output: Any) -> Any:
                if isinstance(output, torch.Tensor):
                    return 1.5 * output
                return (1.5 * output[0], *output[1:])

            with bypassed(anatomy, [1]):
                handle = anatomy.blocks[0].module.register_forward_hook(louder)
                expected = run_forward(model, ids)
                handle.remove()
                with written({p: v.float() for p, v in changes.items()}):
                    found = run_forward(model, ids)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
        assert not torch.allclose(plain, expected)


def test_too_few_tokens_for_a_form_are_named_and_a_poorer_one_taken(llama: PreTrainedModel):
    anatomy, text = find_anatomy(llama), own_text(llama, 48)
    # 48 inputs, 32 outputs: 40 tokens to fit on are enough for a map alone.
    (cut,) = compensate(llama, anatomy, [2], text[:6, :8], form="full").cuts
    assert "full needs 48 tokens, and there are 40" in cut.reason
    assert cut.form in ("map", None)
    (cut,) = compensate(llama, anatomy, [2], text[:3, :8]).cuts
    assert "full needs 48 tokens and map needs 32 tokens, and there are 16" in cut.reason
    assert cut.form in ("scale", None)


def test_windows_with_states_that_are_not_finite_are_left_out_and_counted(llama: PreTrainedModel):
    anatomy, text = find_anatomy(llama), own_text(llama, 48)
    odd = 95  # a token that the text does not use
    with torch.no_grad():
        kept = llama.model.embed_tokens.weight[odd].clone()
        llama.model.embed_tokens.weight[odd] = float("nan")
        try:
            spoilt = np.concatenate([text[:16], np.full((1, 24), odd), text[16:]])
            made = compensate(llama, anatomy, [2], spoilt)
        finally:
            llama.model.embed_tokens.weight[odd] = kept
    assert made.left_out == 1
    assert made.after < made.before
    assert all(values.isfinite().all() for values in made.changes.values())


def test_weights_that_were_published_in_less_keep_no_more_digits(llama: PreTrainedModel):
    anatomy, text = find_anatomy(llama), own_text(llama, 48)
    made = compensate(llama, anatomy, [2], text, stored=torch.bfloat16)
    (values,) = made.changes.values()
    assert values.dtype == torch.float32
    assert torch.equal(values, values.bfloat16().float())


def test_a_bfloat16_model_keeps_its_format_and_gains_as_much_as_in_float32():
    model = toy_model("llama").to(torch.bfloat16)
    text, gains = own_text(model, 64), []
    for one in (model, copy.deepcopy(model).float()):
        made = compensate(one, find_anatomy(one), [2], text)
        (values,) = made.changes.values()
        assert values.dtype == one.dtype
        assert made.cuts[0].distance[1] < made.cuts[0].distance[0]
        gains.append(made.before - made.after)
    assert 0 < gains[0] == pytest.approx(gains[1], rel=0.1)


def test_states_beyond_the_range_of_float16_are_not_left_out():
    model = toy_model("llama").to(torch.float16)
    with torch.no_grad():
        model.model.embed_tokens.weight[7] = 65504.0
        model.model.layers[0].mlp.down_proj.weight *= 100
    text = np.random.default_rng(0).integers(0, model.config.vocab_size, (16, 32))
    text[:, 3] = 7
    with torch.inference_mode():
        assert not model(input_ids=torch.as_tensor(text)).logits.isfinite().all()
    made = compensate(model, find_anatomy(model), [2], text)
    assert made.left_out == 0
    assert np.isfinite(made.before)


def test_a_second_time_gives_the_same_bits(llama: PreTrainedModel):
    anatomy, text = find_anatomy(llama), own_text(llama, 48)
    one, two = (compensate(llama, anatomy, [1, 3], text) for _ in range(2))
    assert one.cuts == two.cuts
    assert all(torch.equal(one.changes[p], two.changes[p]) for p in one.changes)


def test_the_work_of_one_cut_is_little_more_than_both_models_up_to_it(llama: PreTrainedModel):
    anatomy, text = find_anatomy(llama), own_text(llama, 64)
    made = compensate(llama, anatomy, [2], text, form="map")
    block, tokens = anatomy.blocks[0].work, text.size
    # Two blocks for both models, and the third for the dense one.
    states = 3 * block * tokens
    equations = 32 * (32 + 32) * tokens * 7 // 8
    # From the second block on: with the old weights and with the new ones.
    aside = tokens // 8 * ((len(anatomy.blocks) - 2) * block + anatomy.head_work)
    assert made.work == pytest.approx(states + equations + 2 * aside)


def test_bad_input_is_one_line(llama: PreTrainedModel):
    anatomy, text = find_anatomy(llama), own_text(llama, 2)
    with pytest.raises(
        InputError, match="`form` must be one of auto, full, map, scale, but got 'x'"
    ):
        compensate(llama, anatomy, [1], text, form="x")
    with pytest.raises(InputError, match="2 or more, one of them to choose by, but has 1"):
        compensate(llama, anatomy, [1], text[:1])
