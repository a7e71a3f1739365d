"""Models spread over several devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_models import ARCHITECTURES, toy_logits, toy_model, toy_tokens, write_toy_checkpoint
from transformers import PreTrainedTokenizerFast
from two_devices import FIRST, SECOND, MixedDevicesError, apart

from evop_deap.base.errors import InputError
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.export.export_checkpoint import export_checkpoint
from evop_deap.models.loading.hardware import choose_devices
from evop_deap.models.loading.load_model import load_model
from evop_deap.models.loading.spread import spread
from evop_deap.models.surgery.repacking import without_blocks
from evop_deap.recovery.healing.students import check_trainable
from evop_deap.settings.healing_config import HealingConfig


@pytest.mark.parametrize("name", [*sorted(ARCHITECTURES), "gemma3-multimodal"])
def test_a_spread_model_predicts_and_generates_as_before(name: str) -> None:
    model: Any = toy_model(name)
    prompt, options = toy_tokens(rows=1, length=8), {"do_sample": False, "pad_token_id": 0}
    logits = toy_logits(model)
    text = model.generate(prompt, max_new_tokens=3, **options)
    with apart():
        spread(model, [FIRST, SECOND])
        found = model.generate(prompt.to(FIRST), max_new_tokens=3, **options)
        spread_logits = toy_logits(model)
    assert torch.equal(spread_logits, logits)
    assert torch.equal(found, text)


def test_devices_hold_runs_of_blocks_of_about_equal_size() -> None:
    model: Any = spread(toy_model("llama"), [FIRST, SECOND])
    assert [device_of(block) for block in model.model.layers] == [FIRST] * 3 + [SECOND] * 2
    assert device_of(model.get_input_embeddings()) == device_of(model.model.rotary_emb) == FIRST
    assert device_of(model.model.norm) == device_of(model.lm_head) == SECOND


def test_a_tied_head_stays_with_the_embedding() -> None:
    model: Any = spread(toy_model("llama-tied"), [FIRST, SECOND])
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert device_of(model.lm_head) == FIRST


@pytest.mark.parametrize("name", ["llama-tied", "gemma3-multimodal"])
def test_a_checkpoint_is_written_and_compared_on_both_devices(
    name: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = toy_model(name)
    with apart() as place:
        anatomy = find_anatomy(spread(model, [FIRST, SECOND]))
        made: Any = without_blocks(model, anatomy, [1, 3])
        exported = export_checkpoint(model, anatomy, [1, 3], tokenizer, tmp_path / "model")
        assert {place(weight) for weight in made.parameters()} == {FIRST, SECOND}
    assert exported.layers == len(anatomy.blocks) - 2


def test_devices_are_named_with_commas_between() -> None:
    assert choose_devices("cpu") == (torch.device("cpu"),)
    assert choose_devices("cpu:0,cpu:1") == (FIRST, SECOND)
    for device in ("cpu:0,cpu:0", "cpu,meta", "cpu:0,", "cpu:0,auto,cpu:1", "cuda:0,cuda:77"):
        with pytest.raises(InputError, match="`device` must"):
            choose_devices(device)


def test_streamed_weights_are_for_one_device(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path / "model")
    with pytest.raises(InputError, match="it would run on cpu:0, cpu:1: name one `device`"):
        load_model(str(folder), device="cpu:0,cpu:1", weights="streamed")


def test_healing_on_several_devices_is_refused() -> None:
    with pytest.raises(InputError, match="`device` must name one device to train on"):
        HealingConfig(source="runs/one", device="cuda:0,cuda:1")
    # By `auto`, a model is spread that does not fit on one.
    with pytest.raises(InputError, match="training needs one device"):
        check_trainable(spread(toy_model("llama"), [FIRST, SECOND]), "runs/one")


def test_the_fake_devices_do_not_mix() -> None:
    with apart() as place:
        left, right = torch.zeros(2).to(FIRST), torch.zeros(2).to(SECOND)
        assert (left.device, place(right)) == (FIRST, SECOND)
        with pytest.raises(MixedDevicesError):
            left + right
        assert (left + right.to(left.device)).device == FIRST
