"""The memory that a model will take is said before it is loaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from transformers import AutoModelForCausalLM

from evop_deap.apply import main as apply
from evop_deap.evaluation.sizes import file_bytes
from evop_deap.models.loading.checkpoint_files import SAFETENSORS
from evop_deap.models.loading.load_model import load_model
from evop_deap.models.loading.memory_needs import allowed_memory, memory_told, weights_size

CPU = torch.device("cpu")


def weights_of(folder: Path, size: int) -> Path:
    """A folder with weights of this size that take no room on the disk."""
    with (folder / "model.safetensors").open("wb") as file:
        os.truncate(file.fileno(), size)
    return folder


def test_wider_weights_take_more_and_a_copy_in_the_stored_type_is_written(tmp_path: Path) -> None:
    folder = weights_of(tmp_path, 1 << 20)
    as_stored = memory_told(folder, torch.bfloat16, torch.bfloat16, CPU)
    wider = memory_told(folder, torch.bfloat16, torch.float32, CPU)
    assert as_stored is not None
    assert as_stored.startswith("its weights take about 1.0 MiB, and ")
    assert wider is not None
    assert wider.startswith("its weights take about 3.0 MiB, and ")
    assert "may not fit" not in wider


def test_weights_that_may_not_fit_are_told_so(tmp_path: Path) -> None:
    folder = weights_of(tmp_path, 2 * allowed_memory(CPU) + (1 << 34))
    line = memory_told(folder, torch.float32, torch.float32, CPU)
    assert line is not None
    assert line.endswith("; this may not fit")


def test_files_that_transformers_does_not_read_are_not_counted(tmp_path: Path) -> None:
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "consolidated.safetensors").write_bytes(b"1234567890")
    (tmp_path / "pytorch_model.bin").write_bytes(b"1234567890")
    assert weights_size(tmp_path) == file_bytes(str(tmp_path)) == 10
    weights_of(tmp_path, 7)
    assert weights_size(tmp_path) == file_bytes(str(tmp_path)) == 7


@pytest.mark.parametrize("stem", ["model-", "model.safetensors-"])
def test_all_shards_are_fetched_from_a_hub(stem: str) -> None:
    shards = [f"{stem}0000{place}-of-00002.safetensors" for place in (1, 2)]
    files = ["config.json", "consolidated.safetensors", *shards]
    assert list(filter_repo_objects(files, allow_patterns=list(SAFETENSORS))) == shards


def test_a_folder_without_weights_tells_nothing(tmp_path: Path) -> None:
    assert memory_told(tmp_path, torch.float32, torch.float32, CPU) is None


def test_a_command_tells_it_before_it_loads(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--pattern", "1", "--output", str(tmp_path / "out")]
    assert apply(["--model", str(toy_checkpoint), *options]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["loading", "its", "writing"]


def test_weights_stay_in_the_stored_type_where_asked(toy_checkpoint: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(toy_checkpoint, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    for file in toy_checkpoint.glob("token*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert load_model(str(tmp_path), as_stored=True).model.dtype is torch.bfloat16
    wide = load_model(str(tmp_path), as_stored=True, dtype="float32")
    assert wide.model.dtype is torch.float32
