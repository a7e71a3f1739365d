"""The check that a pruned model generates with a cache what it predicts without one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toy_models import nemotron_h, toy_model
from transformers import PreTrainedModel

from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.surgery.cached_decoding import cache_fault, cache_texts
from evop_deap.models.surgery.repacking import without_blocks


@pytest.fixture(scope="module")
def mixture() -> tuple[PreTrainedModel, PreTrainedModel]:
    """A toy Nemotron-H with a mixture of experts, and the same exactly without its block 3."""
    model = nemotron_h(["mamba", "moe", "attention", "moe", "attention", "moe"])
    return model, without_blocks(model, find_anatomy(model), [3])


def test_a_text_on_a_routing_threshold_is_no_fault(
    mixture: tuple[PreTrainedModel, PreTrainedModel],
) -> None:
    ids = torch.randint(96, (64, 32), generator=torch.Generator().manual_seed(0))
    # Rounding decides between two experts for a token of text 14, and for no other.
    assert cache_fault(*mixture, ids[14:15]) is not None
    assert cache_fault(*mixture, ids[8:16]) is None


def test_the_texts_are_several_and_differ() -> None:
    texts = cache_texts(toy_model("llama"), 16)
    assert texts.shape == (8, 16)
    assert len({tuple(row) for row in texts.tolist()}) == 8
    assert cache_texts(toy_model("llama"), 500).shape[1] == 128


def _disturbed(model: PreTrainedModel, by: float) -> PreTrainedModel:
    """Let the model add noise to what it computes for a single token after cached ones."""
    noise = torch.randn(32, generator=torch.Generator().manual_seed(1))

    def disturb(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        return output + by * noise if output.shape[-2] == 1 else output

    model.get_submodule("model.norm").register_forward_hook(disturb)
    return model


def test_the_dense_models_own_difference_is_the_measure() -> None:
    dense, ids = toy_model("llama"), cache_texts(toy_model("llama"), 16)
    faulty = _disturbed(toy_model("llama"), by=0.3)
    fault = cache_fault(dense, faulty, ids)
    assert fault is not None
    assert "on half of 8 texts" in fault
    assert cache_fault(_disturbed(dense, by=0.3), faulty, ids) is None


@pytest.mark.parametrize("at_once", [False, True])
def test_all_weights_are_widened_together_only_where_speed_matters_more(at_once: bool) -> None:
    model = toy_model("llama").to(torch.bfloat16)
    pruned = without_blocks(model, find_anatomy(model), [1])
    seen: set[torch.dtype] = set()
    last = [p for p in pruned.parameters() if p.dim() == 2][-1]
    pruned.get_input_embeddings().register_forward_hook(lambda *_: seen.add(last.dtype))
    assert cache_fault(model, pruned, cache_texts(model, 16), at_once=at_once) is None
    assert seen == {torch.float32 if at_once else torch.bfloat16}


def _miscounting(model: PreTrainedModel) -> PreTrainedModel:
    """Let the model take every token for the first of its text while `generate` runs."""
    counted: Any = model.prepare_inputs_for_generation

    def miscounted(*args: Any, **kwargs: Any) -> dict[str, Any]:
        inputs: dict[str, Any] = counted(*args, **kwargs)
        return {**inputs, "position_ids": torch.zeros_like(inputs["input_ids"])}

    made: Any = model
    made.prepare_inputs_for_generation = miscounted
    return model


@pytest.mark.parametrize(
    ("setting", "value"),
    [("stop_strings", ["a"]), ("num_return_sequences", 2)],
)
def test_no_generation_setting_of_a_checkpoint_hides_a_fault(setting: str, value: object) -> None:
    dense, faulty = toy_model("llama"), _miscounting(toy_model("llama"))
    for model in (dense, faulty):
        setattr(model.generation_config, setting, value)
    fault = cache_fault(dense, faulty, cache_texts(dense, 16))
    assert fault is not None
    assert "logits differ" in fault
