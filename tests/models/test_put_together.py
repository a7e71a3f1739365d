"""Experts that transformers puts together from several stored tensors, streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_text import own_text
from toy_models import build_toy, toy_logits, toy_model, toy_sizes, toy_tokens
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from two_devices import SECOND, apart

from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.streamed import StreamedEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.export.export_checkpoint import export_checkpoint
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.loading.load_model import load_model
from evop_deap.models.loading.put_together import has_stand_ins, load_in_parts, whole
from evop_deap.models.loading.shards import stored_in
from evop_deap.models.streaming.streamed_weights import StreamedWeights
from evop_deap.models.surgery.rehearsal import check_removable
from evop_deap.recovery.compensation.compensate import compensate

WINDOWS = toy_tokens(rows=3, length=8).numpy()
FUSED = ("mixtral", "qwen3-moe", pytest.param("deepseek-v3", marks=pytest.mark.slow))


def checkpoint(name: str, folder: Path) -> Path:
    toy_model(name).to(torch.bfloat16).save_pretrained(folder / "dense", max_shard_size="30KB")
    return folder / "dense"


def both(name: str, folder: Path) -> tuple[Any, Any]:
    """A toy that computes in float32: in memory, and from its files without streaming yet."""
    files = checkpoint(name, folder)
    dense = AutoModelForCausalLM.from_pretrained(files, dtype=torch.float32).eval()
    return dense, load_in_parts(files, dtype=torch.bfloat16)[0].eval()


@pytest.mark.parametrize("name", FUSED)
def test_losses_are_those_of_weights_in_memory_bit_for_bit(name: str, tmp_path: Path) -> None:
    dense, model = both(name, tmp_path)
    weights = StreamedWeights(model, torch.float32)
    assert has_stand_ins(model)
    assert torch.equal(toy_logits(model), toy_logits(dense))
    assert fingerprint_model(model) == fingerprint_model(dense)
    anatomies = [find_anatomy(one, "half") for one in (dense, model)]
    units = len(anatomies[0].parts)
    patterns = [(1,) * units, (1, 0) + (1,) * (units - 2), (1,) * (units - 2) + (0, 1)]
    expected = PopulationEvaluator(dense, anatomies[0], WINDOWS).evaluate(patterns)
    found = StreamedEvaluator(model, anatomies[1], WINDOWS, weights).evaluate(patterns)
    np.testing.assert_array_equal(found.sums, expected.sums)
    assert has_stand_ins(model)  # nothing stays in memory


@pytest.mark.parametrize(("name", "granularity"), [("qwen3-moe", "half"), ("mixtral", "block")])
def test_a_pruned_checkpoint_is_written_and_compared(
    name: str, granularity: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    _, model = both(name, tmp_path)
    StreamedWeights(model, torch.float32)
    report = export_checkpoint(
        model, find_anatomy(model, granularity), [1], tokenizer, tmp_path / "pruned",
        stored_dtype=torch.bfloat16, files=tmp_path / "dense",
    )  # fmt: skip
    assert report.max_logit_difference == 0.0
    names = stored_in(tmp_path / "pruned")
    assert any("experts.3" in name for name in names)  # as transformers stores them
    assert not any("gate_up_proj" in name for name in names)


def test_a_removal_is_rehearsed(tmp_path: Path) -> None:
    _, model = both("mixtral", tmp_path)
    StreamedWeights(model, torch.float32)
    check_removable(model, find_anatomy(model), [1])


def test_experts_go_to_a_device(tmp_path: Path) -> None:
    dense, model = both("mixtral", tmp_path)
    with apart() as place:
        weights = StreamedWeights(model, torch.float32, SECOND)
        found = toy_logits(model)
        anatomy = find_anatomy(model)
        seen = [
            {str(place(weight)) for weight in block.module.parameters()}
            for block in weights.passing(anatomy.blocks[:2])
        ]
    assert seen == [{"cpu:1"}] * 2
    assert torch.equal(found, toy_logits(dense))


def test_a_pattern_is_compensated_as_in_memory(tmp_path: Path) -> None:
    dense, model = both("qwen3-moe", tmp_path)
    StreamedWeights(model, torch.float32)
    text = own_text(dense, 48)
    made, found = (
        compensate(one, find_anatomy(one), [2], text, stored=torch.bfloat16)
        for one in (dense, model)
    )
    assert found.after == pytest.approx(made.after, rel=1e-6)
    assert len(found.changes) == len(made.changes)


def test_a_stand_in_takes_no_memory_and_goes_with_its_model(tmp_path: Path) -> None:
    dense, model = both("mixtral", tmp_path)
    name = "model.layers.0.mlp.experts.gate_up_proj"
    stand_in = model.get_parameter(name).data
    assert stand_in.untyped_storage().nbytes() == stand_in.itemsize
    assert torch.equal(whole(stand_in).float(), dense.get_parameter(name))
    del model
    assert whole(stand_in) is stand_in  # all NaN


def test_streamed_loads_so_and_resident_does_not(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    sizes = {**toy_sizes(), "vocab_size": len(tokenizer), "num_local_experts": 4}
    build_toy("MixtralConfig", "MixtralForCausalLM", **sizes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    streamed, resident = (
        load_model(str(folder), weights=weights, dtype="float32", device="cpu").model
        for weights in ("streamed", "resident")
    )
    assert (has_stand_ins(streamed), has_stand_ins(resident)) == (True, False)
