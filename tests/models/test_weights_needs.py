"""What the weights take is what is in memory, and what cannot be streamed is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from toy_models import write_toy_checkpoint
from transformers import AutoModelForCausalLM

from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.load_model import LoadedModel, load_model
from evop_deap.models.streaming.disk_rate import disk_rate
from evop_deap.models.streaming.weights_needs import WeightsNeeds, weights_needs

CPU = torch.device("cpu")


def needs_of(loaded: LoadedModel, free: int, devices: Any = (CPU,)) -> WeightsNeeds:
    return weights_needs(loaded, find_anatomy(loaded.model), free, devices)


def test_each_way_takes_what_its_weights_do(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    loaded = load_model(str(folder), device="cpu", dtype="float32")
    found = {(way.weights, way.dtype): way for way in needs_of(loaded, 200_000).ways}
    elements = sum(p.numel() for p in model.parameters())
    head = model.get_output_embeddings().weight.numel()
    largest = max(head, find_anatomy(model).blocks[0].parameters)
    assert {key: way.bytes for key, way in found.items()} == {
        ("resident", "float32"): 4 * elements,
        ("resident", "bfloat16"): 2 * elements,
        ("streamed", "float32"): 2 * 4 * largest,
        ("streamed", "bfloat16"): 2 * 2 * largest,
    }
    assert [way.fits for way in found.values()] == [False, True, True, True]


def test_the_dtype_that_was_asked_for_is_among_the_ways(tmp_path: Path) -> None:
    folder = str(write_toy_checkpoint(tmp_path / "model"))
    needs = needs_of(load_model(folder, device="cpu", dtype="float16"), 2**30)
    ways = {(way.weights, way.dtype): way for way in needs.ways}
    assert {dtype for _, dtype in ways} == {"float32", "float16"}
    assert 2 * ways["resident", "float16"].bytes == ways["resident", "float32"].bytes


def test_what_cannot_be_streamed_is_named(tmp_path: Path) -> None:
    loaded = load_model(str(write_toy_checkpoint(tmp_path / "model")), device="cpu")
    needs = needs_of(loaded, 2**30, (torch.device("cpu", 0), torch.device("cpu", 1)))
    assert [way.fits for way in needs.ways] == [True, False]
    assert needs.lines()[-1].endswith("it would run on cpu:0, cpu:1: name one `device`")


def test_the_disk_is_measured_on_the_largest_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(bytes(2**20))
    (tmp_path / "two").write_bytes(b"")
    assert disk_rate(list(tmp_path.iterdir())) > 0
