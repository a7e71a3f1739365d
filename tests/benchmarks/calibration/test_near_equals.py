"""The replay of deciding between near-equals, on losses made up for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.calibration.loss_matrix import LossMatrix, save_matrix
from benchmarks.calibration.near_equals import DECIDED_BY, main, measure, regrets

TOKENS = 7


def matrix(noise: float) -> LossMatrix:
    """Five patterns, each 0.1 nats a token behind the one before; also on text from elsewhere."""
    rng = np.random.default_rng(0)
    losses = 3 + 0.1 * np.arange(5)[:, None] + noise * rng.normal(size=(5, 80))
    domains = np.repeat([0, -1], [60, 20])
    losses[:, domains < 0] = np.nan  # never to be looked at
    return LossMatrix(
        sums=TOKENS * losses,
        patterns=np.eye(5, 6, dtype=np.uint8),
        groups=np.full(5, 3),
        probes=np.zeros(5, dtype=np.bool_),
        tokens=np.zeros((80, TOKENS + 1), dtype=np.int64),
        domains=domains,
        names=np.array(["one"]),
        model=np.array("toy"),
        about=np.array("{}"),
    )


def test_where_all_windows_agree_nothing_is_left_to_decide() -> None:
    sums = matrix(0.0).sums[:, :60]
    found, competed = regrets(sums, TOKENS, 4, 4, np.random.default_rng(0))
    assert (found, competed) == (pytest.approx([0.0, 0.0, 0.0]), 1)


def test_more_text_decides_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = measure(matrix(0.4), [4], 200, 0)
    assert [(row["dropped"], row["calibrate"], row["validate"]) for row in rows] == [
        (3, 4, 4), (3, 4, 8), (3, 4, 16),
    ]  # fmt: skip
    for row in rows:
        assert 1 <= row["contenders"] <= 5
        assert row["regret"]["both"] < row["regret"]["calibration"]
        assert row["regret"].keys() == row["error"].keys() == set(DECIDED_BY)
    save_matrix(tmp_path / "losses.npz", matrix(0.4))
    output = tmp_path / "found.json"
    main([str(tmp_path / "losses.npz"), "--windows", "4", "--draws", "200", "--json", str(output)])
    assert json.loads(output.read_text())["rows"] == rows
    assert "| 3 | 4 | 16 |" in capsys.readouterr().out
