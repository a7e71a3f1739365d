"""Weights that stay in their files and are computed with on a device."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_models import toy_logits, toy_model, toy_tokens, write_toy_checkpoint
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from two_devices import SECOND, apart

from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.streamed import StreamedEvaluator
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.export.export_checkpoint import export_checkpoint
from evop_deap.models.loading.mapped_pages import MappedPages
from evop_deap.models.streaming.plain_transfers import Copying
from evop_deap.models.streaming.read_ahead import Reading, read_ahead
from evop_deap.models.streaming.streamed_weights import StreamedWeights, weights_of
from evop_deap.models.surgery.rehearsal import check_removable
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import open_model
from evop_deap.settings.calibration_config import CalibrationConfig

WINDOWS = toy_tokens(rows=3, length=8).numpy()
PATTERNS = [(1, 1, 0, 1, 1), (1, 0, 0, 1, 1), (0, 1, 0, 1, 0), (1, 1, 1, 1, 1)]


def two_of(name: str, stored: torch.dtype, folder: Path) -> tuple[Any, Any]:
    """A toy that computes in float32, and the same as it is stored."""
    toy_model(name).to(stored).save_pretrained(folder)
    dense = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return dense, AutoModelForCausalLM.from_pretrained(folder, dtype=stored).eval()


@pytest.mark.parametrize("name", ["llama-tied", "gpt2", "gemma3", "falcon-alibi", "llama4"])
def test_a_model_predicts_and_generates_like_one_in_memory(name: str, tmp_path: Path) -> None:
    dense, model = two_of(name, torch.bfloat16, tmp_path)
    ids, how = toy_tokens(rows=1), {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    with apart() as place:
        StreamedWeights(model, torch.float32, SECOND)
        found = toy_logits(model)
        text = model.generate(ids, **how)
        assert {str(place(weight)) for weight in model.parameters()} == {"cpu"}
    assert device_of(model) == SECOND
    assert torch.equal(found, toy_logits(dense))
    assert torch.equal(text, dense.generate(ids, **how))


@pytest.mark.parametrize(
    ("name", "stored", "fitness"),
    [("llama-tied", torch.bfloat16, "kl"), ("gpt2", torch.float32, "ce")],
)
def test_sums_are_those_of_weights_in_memory_bit_for_bit(
    name: str, stored: torch.dtype, fitness: str, tmp_path: Path
) -> None:
    dense, model = two_of(name, stored, tmp_path)
    how: Any = {"fitness": fitness, "windows_at_once": 2}
    expected = PopulationEvaluator(dense, find_anatomy(dense), WINDOWS, **how).evaluate(PATTERNS)
    weights = StreamedWeights(model, torch.float32, SECOND)
    anatomy = find_anatomy(model)
    for budget in (2**20, 2**12):  # of which the second sends most states to a file
        streamed = StreamedEvaluator(model, anatomy, WINDOWS, weights, memory_budget=budget, **how)
        found = streamed.evaluate(PATTERNS)
        np.testing.assert_array_equal(found.sums, expected.sums)
        assert found.work.bytes_held <= budget


@pytest.mark.parametrize("fitness", [pytest.param("ce", marks=pytest.mark.slow), "kl"])
def test_no_operation_mixes_the_host_and_the_device(fitness: str, tmp_path: Path) -> None:
    _, model = two_of("opt", torch.bfloat16, tmp_path)
    with apart() as place:
        weights = StreamedWeights(model, torch.float32, SECOND)
        anatomy = find_anatomy(model)
        how: Any = {"fitness": fitness, "memory_budget": 2**12}
        streamed = StreamedEvaluator(model, anatomy, WINDOWS, weights, **how)
        assert np.isfinite(streamed.evaluate(PATTERNS[:2]).sums).all()
        plain = ReferenceEvaluator(model, anatomy, WINDOWS[:1], fitness=fitness)
        assert np.isfinite(plain.evaluate(PATTERNS[:1]).sums).all()
        for block in weights.passing(anatomy.blocks[:2]):
            assert {str(place(weight)) for weight in block.module.parameters()} == {"cpu:1"}
        assert {str(place(weight)) for weight in model.parameters()} == {"cpu"}


def test_a_removal_is_rehearsed_and_exported(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    _, model = two_of("llama-tied", torch.bfloat16, tmp_path / "dense")
    with apart():
        StreamedWeights(model, torch.float32, SECOND)
        anatomy = find_anatomy(model)
        check_removable(model, anatomy, [0, 2])
        report = export_checkpoint(
            model, anatomy, [0, 2], tokenizer, tmp_path / "pruned",
            stored_dtype=torch.bfloat16, files=tmp_path / "dense",
        )  # fmt: skip
    assert report.max_logit_difference == 0.0


def test_a_model_is_opened_on_the_device_that_is_named(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path / "model")
    config = CalibrationConfig(model=str(folder), device="cpu:1", dtype="float32")
    loaded, _ = open_model(config, Progress(), weights="streamed")
    weights = weights_of(loaded.model)
    assert weights is not None
    assert weights.device == device_of(loaded.model) == SECOND


def test_at_most_two_blocks_have_memory_on_the_device() -> None:
    pages = MappedPages(())
    transfer = Copying(SECOND, torch.float32, pages)
    blocks = [[torch.full((2, 2), float(n), dtype=torch.bfloat16)] for n in range(5)]
    places = set()
    for n, sent in read_ahead(range(5), lambda n: transfer.send(blocks[n]), Reading()):
        assert torch.equal(sent[0], torch.full((2, 2), float(n)))
        places.add(sent[0].data_ptr())
        transfer.release(sent)
    assert len(places) <= 2


def test_memory_of_two_blocks_that_both_have_ended_is_used_again() -> None:
    transfer = Copying(SECOND, torch.float32, MappedPages(()))
    block = [torch.ones(2, 2)]
    first = [transfer.send(block), transfer.send(block)]
    for sent in first:
        transfer.release(sent)
    again = [transfer.send(block), transfer.send(block)]
    assert [id(sent) for sent in again] == [id(sent) for sent in first]


def test_memory_of_another_shape_is_let_go() -> None:
    transfer = Copying(SECOND, torch.float32, MappedPages(()))
    sent = transfer.send([torch.ones(2, 2)])
    kept = weakref.ref(sent[0])
    transfer.release(sent)
    del sent
    assert transfer.send([torch.ones(3, 2)])[0].shape == (3, 2)
    assert kept() is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_a_cuda_device_gives_the_sums_of_weights_in_its_memory(
    stored: torch.dtype, tmp_path: Path
) -> None:
    device = torch.device("cuda")
    dense, model = two_of("llama", stored, tmp_path)
    dense.to(device)
    resident = PopulationEvaluator(dense, find_anatomy(dense), WINDOWS, stacked=False)
    weights = StreamedWeights(model, torch.float32, device)
    anatomy = find_anatomy(model)
    streamed = StreamedEvaluator(model, anatomy, WINDOWS, weights, memory_budget=2**20)
    expected = resident.evaluate(PATTERNS).sums
    for _ in range(3):  # memory of the device is used again
        np.testing.assert_array_equal(streamed.evaluate(PATTERNS).sums, expected)
    assert {weight.device.type for weight in model.parameters()} == {"cpu"}
