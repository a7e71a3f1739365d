from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

from evop_deap.base.errors import CheckpointError
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.genome import Genome
from evop_deap.runs.storage.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

IDENTITY = {"model": "abc", "seed": 0, "protect": [], "version of torch": "2.13.0"}


@pytest.fixture
def checkpoint() -> Checkpoint:
    patterns = [(1, 0, 1), (0, 1, 1), (1, 1, 0)]
    losses = dict(zip(patterns, [0.1 + 0.2, 1e-17, math.inf], strict=True))
    state = EvolutionState(
        generation=3,
        population=(Genome(patterns[1], loss=1e-17), Genome(patterns[2], loss=math.inf)),
        losses=losses,
        records=({"gen": 0, "min": 1e-17, "max": math.inf},),
        cost=2.5,
        cache_hits=1,
        seconds=1.25,
        best_since=1,
        rng_state=random.Random(5).getstate(),
        eliminated=((0, 0, 1),),
    )
    rows = {pattern: np.array([1 / 3, np.inf]) for pattern in [*patterns, (1, 1, 1)]}
    rows[0, 0, 1] = np.array([2.5, np.nan])
    kept = [(0, [(0,), (0, 2)]), (3, [])]
    return Checkpoint(IDENTITY, rows, 0.75, kept, state)


def test_a_checkpoint_comes_back_exactly(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, checkpoint)
    loaded = load_checkpoint(path, IDENTITY)
    assert loaded.state == checkpoint.state
    assert loaded.dense_cost == 0.75
    assert [g.loss for g in loaded.state.population] == [1e-17, math.inf]
    assert loaded.rows.keys() == checkpoint.rows.keys()
    for pattern, sums in checkpoint.rows.items():
        np.testing.assert_array_equal(loaded.rows[pattern], sums)
    random.Random().setstate(loaded.state.rng_state)


@pytest.mark.parametrize(
    ("name", "value"),
    [("model", "xyz"), ("seed", 1), ("version of torch", "2.14.0"), ("protect", ["0"])],
)
def test_a_checkpoint_of_another_run_is_refused_and_the_difference_named(
    checkpoint: Checkpoint, tmp_path: Path, name: str, value: object
) -> None:
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, checkpoint)
    with pytest.raises(CheckpointError, match=f"belongs to another run: its {name} is"):
        load_checkpoint(path, {**IDENTITY, name: value})


def test_a_checkpoint_cut_short_anywhere_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, checkpoint)
    whole = path.read_bytes()
    for length in [0, 1, 10, len(whole) // 2, len(whole) - 3]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="is damaged"):
            load_checkpoint(path, IDENTITY)


def test_a_checkpoint_with_any_value_changed_is_refused(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, checkpoint)
    payload = json.loads(path.read_text())
    for name in payload:
        if name != "sha256":
            path.write_text(json.dumps({**payload, name: None}))
            with pytest.raises(CheckpointError, match="wrong checksum"):
                load_checkpoint(path, IDENTITY)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\x80\x81", b'{"sha256": "0"}'])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(path, IDENTITY)
