"""The script for a GPU runs end to end on a CPU with a toy model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.evaluator.on_gpu import main

QUICK = ["--device", "cpu", "--patterns", "4", "--tokens", "64", "--window", "16"]


def run(model: Path, folder: Path, *flags: str) -> list[dict[str, Any]]:
    file = folder / "out.json"
    assert main([*QUICK, "--model", str(model), "--json", str(file), *flags]) == 0
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"]
    return rows


def test_streaming_and_stacking_give_the_losses_of_plain_ways(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run(toy_checkpoint, tmp_path, "--parts", "streaming", "stacked")
    resident, streamed, *stacked = rows
    assert (streamed["way"], streamed["same"]) == ("streamed", True)
    assert 0 <= streamed["waiting"] <= 1
    assert streamed["bytes_read"] > 0
    assert [row["way"] for row in stacked] == ["plain forward", "not stacked", "stacked"]
    assert all(row["difference"] < 1e-4 for row in stacked)
    assert all(row["peak"] > 0 for row in (resident, streamed, *stacked))
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 + len(rows)
    assert "DIFFER" not in "".join(printed)


@pytest.mark.slow
def test_two_workers_find_what_one_process_finds(
    toy_checkpoint: Path, run_settings: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    corpus = ["--corpus", run_settings["corpus"], "--sparsity", "0.4"]
    one, two = run(toy_checkpoint, tmp_path, "--parts", "workers", *corpus)
    assert (one["way"], two["way"], two["same"]) == ("one process", "two workers", True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: `device` cuda is not on this machine")
