from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evop_deap.base.errors import CheckpointError
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.state import EvolutionState
from evop_deap.runs.storage.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from evop_deap.runs.storage.heuristic_state import HeuristicState

TOKENS = np.array([2, 3])
IDENTITY = {"model": "abc", "seed": 0, "protect": [], "version of torch": "2.13.0"}


@pytest.fixture
def checkpoint() -> Checkpoint:
    patterns = [(1, 0, 1), (0, 1, 1), (1, 1, 0)]
    sums = [[0.1, 0.2], [1e-17, 2e-17], [1 / 3, math.inf]]
    rows = {pattern: np.array(own) for pattern, own in zip(patterns, sums, strict=True)}
    losses = {pattern: float(row.sum() / TOKENS.sum()) for pattern, row in rows.items()}
    state = EvolutionState(
        generation=3,
        population=(
            Genome(patterns[1], loss=losses[patterns[1]]),
            Genome(patterns[2], loss=math.inf),
        ),
        losses=losses,
        records=({"gen": 0, "min": 1e-17, "max": math.inf},),
        cost=2.5,
        cache_hits=1,
        seconds=1.25,
        best_since=1,
        rng_state=random.Random(5).getstate(),
        eliminated=((0, 0, 1),),
    )
    rows[1, 1, 1] = np.array([0.5, 0.25])
    rows[0, 0, 1] = np.array([2.5, np.nan])
    rows[0, 1, 0] = np.array([np.nan, 1.5])
    rows[1, 0, 0] = np.array([np.nan, np.nan])
    kept = [(0, [(0,), (0, 2)]), (3, [])]
    return Checkpoint(
        identity=IDENTITY,
        rows=rows,
        tokens=TOKENS,
        dense_cost=0.75,
        dense_executed=0.25,
        kept=kept,
        kept_alone=[(0, [(1,)])],
        state=state,
        outputs={"validate": {"cost": 0.5}},
    )


def test_a_checkpoint_comes_back_exactly(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, checkpoint)
    loaded = load_checkpoint(path, IDENTITY)
    assert loaded.state == checkpoint.state
    assert (loaded.dense_cost, loaded.dense_executed) == (0.75, 0.25)
    assert (loaded.kept, loaded.kept_alone) == (((0, ((0,), (0, 2))), (3, ())), ((0, ((1,),)),))
    assert [g.loss for g in loaded.state.population] == [3e-17 / 5, math.inf]
    assert loaded.outputs == {"validate": {"cost": 0.5}}
    assert loaded.rows.keys() == checkpoint.rows.keys()
    for pattern, sums in checkpoint.rows.items():
        np.testing.assert_array_equal(loaded.rows[pattern], sums)
    random.Random().setstate(loaded.state.rng_state)


def test_losses_are_not_stored_beside_the_sums(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, checkpoint)
    assert "losses" not in json.loads(path.read_text())


def test_the_state_of_a_heuristic_comes_back_as_its_own_type(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    best = Genome((1, 0, 1), loss=2.5)
    state = HeuristicState(
        best, ({"gen": 0, "spent": 1.5},), evaluations=4, cost=1.5, cache_hits=1, seconds=0.25
    )
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, replace(checkpoint, state=state))
    loaded = load_checkpoint(path, IDENTITY)
    assert loaded.evolution is None
    assert loaded.heuristic is not None
    assert vars(loaded.heuristic) == vars(state)
    assert (loaded.heuristic.best.loss, loaded.heuristic.generation) == (2.5, 0)


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
