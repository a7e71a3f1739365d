"""Models of which accelerate keeps weights on the disk or the host."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from toy_models import toy_model, toy_tokens
from transformers import AutoModelForCausalLM

from evop_deap import StreamedEvaluator
from evop_deap.base.errors import InputError
from evop_deap.fitness.model.evaluators import Evaluators
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.models.anatomy.devices import device_of, is_spread
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.streaming.offloaded import stream_offloaded
from evop_deap.models.streaming.streamed_weights import weights_of

WINDOWS = toy_tokens(rows=3, length=8).numpy()
PATTERNS = [(1, 1, 0, 1, 1), (1, 0, 0, 1, 1), (1, 1, 1, 1, 1)]


def checkpoint(folder: Path, name: str = "llama-tied") -> Path:
    toy_model(name).to(torch.bfloat16).save_pretrained(folder / "model", max_shard_size="20KB")
    return folder / "model"


def on_the_disk(folder: Path, **options: Any) -> Any:
    """The model of a checkpoint, of which accelerate reads three blocks from the disk."""
    parts = ["model.embed_tokens", "model.rotary_emb", "model.norm", "lm_head"]
    places = dict.fromkeys([*parts, "model.layers.0", "model.layers.1"], "cpu")
    places |= {f"model.layers.{n}": "disk" for n in range(2, 5)}
    return AutoModelForCausalLM.from_pretrained(
        folder, device_map=places, offload_folder=str(folder / "offload"), **options
    ).eval()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_weights_on_the_disk_are_streamed(
    dtype: torch.dtype, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = checkpoint(tmp_path)
    dense = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    model = on_the_disk(folder, dtype=dtype)
    anatomy = find_anatomy(model)
    with caplog.at_level(logging.WARNING):
        streamed = StreamedEvaluator(model, anatomy, WINDOWS)
    (said,) = (record.message for record in caplog.records if "evop" in record.name)
    assert said.endswith(f"the disk or the host: they are streamed from {folder}")
    assert not is_spread(model)
    expected = PopulationEvaluator(dense, find_anatomy(dense), WINDOWS, stacked=False)
    np.testing.assert_array_equal(
        streamed.evaluate(PATTERNS).sums, expected.evaluate(PATTERNS).sums
    )
    stream_offloaded(model)  # once is enough
    assert weights_of(model) is streamed.weights


def test_weights_on_the_host_are_streamed_to_the_device(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint(tmp_path, "gpt2")).eval()
    anatomy, second = find_anatomy(model), torch.device("cpu", 1)
    cpu_offload(model, execution_device=second)
    Evaluators(model, anatomy)
    weights = weights_of(model)
    assert weights is not None
    assert weights.device == device_of(model) == second


def test_weights_that_differ_from_the_files_are_refused(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint(tmp_path)).eval()
    with torch.no_grad():
        model.model.layers[3].mlp.up_proj.weight.mul_(2.0)
    cpu_offload(model, execution_device=torch.device("cpu"))
    with pytest.raises(InputError, match=r"layers\.3\.mlp\.up_proj\.weight has other values than"):
        stream_offloaded(model)


def test_files_that_cannot_be_streamed_are_named(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    for file in folder.glob("model*"):
        file.unlink()
    cpu_offload(model, execution_device=torch.device("cpu"))
    with pytest.raises(InputError, match="cannot be streamed: it has no safetensors files: python"):
        StreamedEvaluator(model, find_anatomy(toy_model("llama-tied")), WINDOWS)


def test_weights_in_memory_are_not_streamed() -> None:
    model = toy_model("llama")
    with pytest.raises(InputError, match="are in memory: choose PopulationEvaluator"):
        StreamedEvaluator(model, find_anatomy(model), WINDOWS)
