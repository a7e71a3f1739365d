"""The benchmark of streamed weights measures what it says, within the limit that it is given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from benchmarks.common.limited_process import run_limited
from benchmarks.evaluator.streamed_generations import measure, parser
from benchmarks.evaluator.streaming import compared, plot, table
from benchmarks.evaluator.synthetic_checkpoint import SHAPES, write_synthetic
from evop_deap.models.loading.shards import stored_in


@pytest.fixture(scope="module")
def report(toy_checkpoint: Path) -> dict[str, Any]:
    flags = ["--model", str(toy_checkpoint), "--populations", "1", "3", "--tokens", "64"]
    given = parser().parse_args([*flags, "--window", "16"])
    found = {}
    for given.weights in ("streamed", "resident"):
        found[given.weights] = measure(given)
    return found


def test_both_kinds_of_weights_give_the_same_bits(report: dict[str, Any], tmp_path: Path) -> None:
    rows = compared(report)
    assert [(row["patterns"], row["same_bits"]) for row in rows] == [(1, True), (3, True)]
    # One pattern keeps four of five blocks, and three patterns keep all.
    assert rows[0]["bytes_read"] < rows[1]["bytes_read"]
    assert all(0 <= row["waited"] <= 1 for row in rows)
    assert "NO" not in table(rows)
    plot(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 0


def test_without_the_comparison_nothing_is_claimed(report: dict[str, Any]) -> None:
    rows = compared({"streamed": report["streamed"]})
    assert [row["same_bits"] for row in rows] == [None, None]


def test_a_synthetic_checkpoint_has_a_shard_for_each_block(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    write_synthetic("tiny", tmp_path / "tiny", tokenizer)
    stored = stored_in(tmp_path / "tiny")
    files: dict[str, set[Path]] = {}
    for name, tensor in stored.items():
        files.setdefault(".".join(name.split(".")[:3]), set()).add(tensor.file)
    assert all(len(some) == 1 for some in files.values())
    assert (
        len({tensor.file for tensor in stored.values()}) == SHAPES["tiny"]["num_hidden_layers"] + 3
    )


def test_a_process_that_grows_too_large_is_ended() -> None:
    grows = "import time; room = bytearray(2**27); print('done'); time.sleep(30)"
    ended = run_limited([sys.executable, "-c", grows], 2**26)
    assert ended.code < 0
    assert ended.peak > 2**26
    fine = run_limited([sys.executable, "-c", "print('done')"], 2**30)
    assert (fine.code, fine.output) == (0, "done\n")
